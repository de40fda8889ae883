//! Text from steps and Dockerfiles as it may be shown: it is not trusted with the terminal.
//!
//! Colours stay (they are half of what a compiler says), and where they are not wanted `anstream` takes them out; everything else
//! that a terminal would act on goes: cursor movement, titles, links, bells, other control characters.

/// Ends whatever colours a line began.
const RESET: &str = "\u{1b}[0m";

/// One line of output with its colours and nothing else that a terminal acts on. Of a line that overwrites itself with
/// carriage returns, as progress bars do, the last state is shown.
pub fn neutral(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let last = text
        .rsplit('\r')
        .find(|part| !part.is_empty())
        .unwrap_or("");
    clean(last, true)
}

/// The same without colours.
pub fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    let last = text
        .rsplit('\r')
        .find(|part| !part.is_empty())
        .unwrap_or("");
    clean(last, false)
}

/// Text of any kind without control characters; line feeds and tabs stay.
pub fn plain_text(text: &str) -> String {
    clean(text, false)
}

fn clean(text: &str, with_colours: bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text;
    while let Some(at) = rest.find(|character: char| character.is_control()) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(control) = rest.chars().next() else {
            break;
        };
        let after = match control {
            '\u{1b}' => escape(rest),
            '\u{9b}' => control.len_utf8() + parameters(&rest[control.len_utf8()..]),
            _ => control.len_utf8(),
        };
        let sequence = &rest[..after];
        if matches!(control, '\n' | '\t') {
            kept.push(control);
        } else if with_colours && is_colour(sequence) {
            kept.push_str(sequence);
            coloured = true;
        }
        rest = &rest[after..];
    }
    kept.push_str(rest);
    if coloured {
        kept.push_str(RESET);
    }
    kept
}

/// The length of the escape sequence at the start (ECMA-48: CSI, strings up to their terminator, two-character forms).
fn escape(text: &str) -> usize {
    let body = &text[1..];
    match body.chars().next() {
        Some('[') => 2 + parameters(&body[1..]),
        // Strings: titles, links, device control. One without an end takes the rest of the line.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let end = body.find('\u{7}').map(|at| at + 2);
            let long = body.find("\u{1b}\\").map(|at| at + 3);
            end.into_iter().chain(long).min().unwrap_or(text.len())
        }
        Some(other) => 1 + other.len_utf8(),
        None => 1,
    }
}

/// The length of a control sequence after its introducer: parameters up to one final character.
fn parameters(text: &str) -> usize {
    match text.find(|character: char| !matches!(character, ' '..='?')) {
        Some(end) => end + text[end..].chars().next().map_or(0, char::len_utf8),
        None => text.len(),
    }
}

/// `ESC [ numbers m`.
fn is_colour(sequence: &str) -> bool {
    sequence
        .strip_prefix("\u{1b}[")
        .and_then(|rest| rest.strip_suffix('m'))
        .is_some_and(|numbers| {
            numbers
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_nothing_else() {
        for (line, expected) in [
            (&b"plain\n"[..], "plain"),
            (b"\x1b[31mred\x1b[0m", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m"),
            (b"a\x1b[2Jb\x1b[1;1Hc\x1b[?25ld", "abcd"),
            (b"\x1b]0;title\x07after", "after"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"10%\r50%\r100%\r\n", "100%"),
            (b"bell\x07 back\x08\x7f tab\tend", "bell back tab\tend"),
            (b"\x1b]0;never ended", ""),
            (b"end\x1b", "end"),
            (b"end\x1b[", "end"),
            ("\u{9b}2Jx\u{9b}31my".as_bytes(), "xy"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(neutral(line), expected, "{line:?}");
        }
        assert_eq!(printable(b"\x1b[31mred\x1b[0m \n"), "red");
        assert_eq!(plain_text("RUN \u{1b}[2Jx"), "RUN x");
    }

    #[test]
    fn anything_is_taken() {
        // Every pair of bytes after an escape: no panic, no control character left but tabs and colours.
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let text = printable(&[0x1b, first, second, b'x', 0xc2, 0x9b, second]);
                let bad = |character: char| character.is_control() && !"\t\n".contains(character);
                assert!(!text.contains(bad), "{first} {second}: {text:?}");
            }
        }
    }
}
