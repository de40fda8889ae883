//! How values are shown: sizes, ages, tables and templates.

mod template;

pub use template::Template;

/// Bytes with a decimal unit, as docker prints them: `7.8MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes}B"),
        (_, value) if value < 10.0 => format!("{value:.2}{}", UNITS[unit]),
        (_, value) if value < 100.0 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// A time of RFC 3339 as docker's lists print it; one that cannot be read as it is.
pub fn date(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// How docker heads a column of a field that has no column by itself: `CreatedAt` is `CREATED AT`.
pub fn heading(field: &str) -> String {
    let mut heading = String::new();
    let mut last_is_small = false;
    for letter in field.chars() {
        if letter.is_uppercase() && last_is_small {
            heading.push(' ');
        }
        last_is_small = letter.is_lowercase();
        heading.extend(letter.to_uppercase());
    }
    heading
}

/// A time span in docker's words: `3 minutes`, `About an hour`.
pub fn span(seconds: i64) -> String {
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / 60),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{} hours", seconds / 3600),
        172_800..1_209_600 => format!("{} days", seconds / 86_400),
        1_209_600..5_184_000 => format!("{} weeks", seconds / 604_800),
        5_184_000..63_072_000 => format!("{} months", seconds / 2_592_000),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// Text of a stranger without what would steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// A duration of work: `0.3ms`, `12ms`, `1.24s`.
pub fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 100.0 {
        format!("{seconds:.0}s")
    } else if seconds >= 1.0 {
        format!("{seconds:.2}s")
    } else if seconds >= 0.01 {
        format!("{:.0}ms", seconds * 1e3)
    } else {
        format!("{:.1}ms", seconds * 1e3)
    }
}

/// Lines up `rows` under `heads`, three blanks between columns as docker does.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![heads.join("\t")];
    // A tab in a cell would begin another column.
    lines.extend(rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('\t', " ")).collect();
        cells.join("\t")
    }));
    aligned(&lines)
}

/// Lines up what stands between the tabs of `lines`, three blanks between columns.
pub fn aligned(lines: &[String]) -> String {
    let cells: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let column = cells.iter().filter_map(|row| row.get(column));
        column
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_docker_prints_them() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (7_800_000, "7.80MB"),
            (123_456_789, "123MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn tables_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "2".to_owned()],
        ];
        assert_eq!(table(&["X", "Y"], &rows), "X      Y\na      1\nlong   2\n");
    }
}
