//! Quoting as Go's `%q` does it, because messages and image history written by the reference builder contain it.

use std::fmt::Write;

/// `text` in double quotes with Go's escapes.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            control if control < ' ' || control == '\u{7f}' => {
                // Writing to a string can't fail.
                let _ = write!(quoted, "\\x{:02x}", control as u32);
            }
            invisible if !is_printable(invisible) && (invisible as u32) < 0x1_0000 => {
                let _ = write!(quoted, "\\u{:04x}", invisible as u32);
            }
            invisible if !is_printable(invisible) => {
                let _ = write!(quoted, "\\U{:08x}", invisible as u32);
            }
            printable => quoted.push(printable),
        }
    }
    quoted.push('"');
    quoted
}

/// Close to Go's `unicode.IsPrint`: of the blanks only the ordinary one prints, and controls and format characters don't.
fn is_printable(character: char) -> bool {
    let invisible = character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}');
    !invisible
}

#[cfg(test)]
mod tests {
    use super::go_quote;

    #[test]
    fn quotes_like_go() {
        for (text, quoted) in [
            ("a b", r#""a b""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\t\n\u{1}", r#""\t\n\x01""#),
            ("é\u{a0}", r#""é\u00a0""#),
        ] {
            assert_eq!(go_quote(text), quoted);
        }
    }
}
