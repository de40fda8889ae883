//! A shell's comments, for histories: a history quotes what was executed, and a comment is not. So an image does not change
//! when only a comment does, on any machine and whatever the store remembers.

/// Shells whose comments are those of POSIX (2.3, token recognition, rule 9).
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "busybox"];

/// The command line `shell -c script` with the script's comments left out, or as it is where that is not certain to be right.
pub(super) fn without_comments(argv: &[String]) -> Vec<String> {
    let mut shown = argv.to_vec();
    let is_known = argv.first().is_some_and(|program| {
        let name = program.rsplit('/').next().unwrap_or_default();
        SHELLS.contains(&name)
    });
    if let (true, Some(script)) = (is_known, shown.last_mut())
        && let Some(stripped) = strip(script)
    {
        *script = stripped;
    }
    shown
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    SingleQuotes,
    DoubleQuotes,
}

/// The script without comments; none if it has none, or has forms in which a `#` may mean something else.
fn strip(script: &str) -> Option<String> {
    // Here-documents, command substitution in back quotes, and quotes with escapes of their own.
    if !script.contains('#') || ["<<", "`", "$'"].iter().any(|form| script.contains(form)) {
        return None;
    }
    let mut kept = String::with_capacity(script.len());
    let mut inside = Inside::Nothing;
    let (mut braces, mut word_starts) = (0_usize, true);
    let mut characters = script.chars().peekable();
    let mut found = false;
    while let Some(character) = characters.next() {
        match (inside, character) {
            (Inside::Nothing, '#') if word_starts && braces == 0 => {
                found = true;
                while characters.next_if(|next| *next != '\n').is_some() {}
                let end = kept.trim_end_matches([' ', '\t']).len();
                kept.truncate(end);
                // A line that held nothing else goes with it.
                if kept.is_empty() || kept.ends_with('\n') {
                    characters.next_if_eq(&'\n');
                }
                continue;
            }
            (Inside::Nothing, '\'') => inside = Inside::SingleQuotes,
            (Inside::Nothing, '"') => inside = Inside::DoubleQuotes,
            (Inside::SingleQuotes, '\'') | (Inside::DoubleQuotes, '"') => inside = Inside::Nothing,
            (Inside::Nothing | Inside::DoubleQuotes, '\\') => {
                kept.push(character);
                kept.extend(characters.next());
                word_starts = false;
                continue;
            }
            (Inside::Nothing, '$') if characters.peek() == Some(&'{') => braces += 1,
            (Inside::Nothing, '}') => braces = braces.saturating_sub(1),
            _ => {}
        }
        word_starts = inside == Inside::Nothing && " \t\n;&|()".contains(character);
        kept.push(character);
    }
    found.then(|| kept.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_go() {
        for (script, expected) in [
            ("make # all of it", "make"),
            ("# first\nmake\n# last\n", "make"),
            ("make;# all\ninstall", "make;\ninstall"),
            ("(make) # x", "(make)"),
            ("echo 'a # b' # c", "echo 'a # b'"),
            ("echo \"a # \\\" b\" # c", "echo \"a # \\\" b\""),
        ] {
            assert_eq!(strip(script).as_deref(), Some(expected), "{script}");
        }
        for script in [
            "echo a#b $# ${#x} ${x# } \\# '#' \"#\"",
            "cat <<X # y\n# z\nX",
            "echo `a # b`",
            "echo $'it\\'s # x'",
            "make",
        ] {
            assert_eq!(strip(script), None, "{script}");
        }
        let python = ["python3", "-c", "x = 1 # y"].map(str::to_owned);
        assert_eq!(without_comments(&python), python);
    }
}
