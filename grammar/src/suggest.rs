//! "Did you mean": the nearest of some names.

/// How many edits still count as a slip of the fingers; the reference uses the same limit.
const MAX_DISTANCE: usize = 3;

/// The candidate nearest to `word`, less than three edits away and not equal to it; the first of equally near ones.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            // Half of a short word wrong is another word, unless its letters are only in the wrong order.
            let is_slip = distance * 2 <= word.chars().count()
                || is_anagram(&word, &candidate.to_lowercase());
            *distance < MAX_DISTANCE && is_slip && *candidate != word
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `message (did you mean X?)` if one of the candidates is near.
pub fn with_suggestion<'a>(
    message: String,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(word, candidates) {
        Some(candidate) => format!("{message} (did you mean {candidate}?)"),
        None => message,
    }
}

fn is_anagram(left: &str, right: &str) -> bool {
    let sorted = |text: &str| {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters
    };
    sorted(left) == sorted(right)
}

/// Number of insertions, deletions and replacements between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    // Longer words are never near; the bound also keeps the table small.
    if left.chars().count().abs_diff(right.len()) >= MAX_DISTANCE {
        return MAX_DISTANCE;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest() {
        let names = ["FROM", "RUN", "COPY", "CMD"];
        for (word, expected) in [
            ("FORM", Some("FROM")),
            ("run2", Some("RUN")),
            ("COPPY", Some("COPY")),
            ("INSTALL", None),
            ("RUB", Some("RUN")),
            ("rm", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(nearest("x", ["a", "b"]), None);
        assert_eq!(
            with_suggestion("unknown flag: --mont".to_owned(), "mont", ["mount"]),
            "unknown flag: --mont (did you mean mount?)"
        );
    }
}
