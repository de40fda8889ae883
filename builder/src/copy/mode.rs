//! `--chmod`: an octal mode, or symbolic changes such as `u=rwX,go=rX`.

use serde::Serialize;

/// The bits that `chmod` may set.
const ALL: u32 = 0o7777;

/// What `--chmod` does to each entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Chmod {
    /// Every entry gets this mode.
    Octal(u32),
    /// Every entry's own mode is changed, clause by clause.
    Symbolic(Vec<Clause>),
}

/// One clause such as `go+rX`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Clause {
    who: u32,
    operator: char,
    read_write_execute: u32,
    execute_if_any: bool,
    set_id: bool,
    sticky: bool,
    copy_from: Option<char>,
}

/// The value means nothing as a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
pub(crate) struct InvalidMode(String);

impl Chmod {
    /// Reads the value of `--chmod`.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidMode> {
        let invalid = || InvalidMode(text.to_owned());
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= ALL => Ok(Self::Octal(mode)),
                _ => Err(invalid()),
            };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(clauses_of(part).ok_or_else(invalid)?);
        }
        Ok(Self::Symbolic(clauses))
    }

    /// Returns the mode that an entry with this mode gets.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(fixed) => *fixed,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode & ALL, |mode, clause| clause.apply(mode, is_directory)),
        }
    }

    /// The mode that parents made on the way get: the octal one, none otherwise.
    pub(crate) fn for_parents(&self) -> Option<u32> {
        match self {
            Self::Octal(mode) => Some(*mode),
            Self::Symbolic(_) => None,
        }
    }
}

/// One comma-separated part: who, then one or more of operator and permissions (`u=rw+x`).
fn clauses_of(part: &str) -> Option<Vec<Clause>> {
    let after = part.find(['+', '-', '='])?;
    let mut who = 0;
    for character in part[..after].chars() {
        who |= match character {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    if who == 0 {
        who = 0o777;
    }
    let mut clauses: Vec<Clause> = Vec::new();
    for character in part[after..].chars() {
        if matches!(character, '+' | '-' | '=') {
            clauses.push(Clause {
                who,
                operator: character,
                read_write_execute: 0,
                execute_if_any: false,
                set_id: false,
                sticky: false,
                copy_from: None,
            });
            continue;
        }
        let clause = clauses.last_mut()?;
        match character {
            'r' => clause.read_write_execute |= 0o444,
            'w' => clause.read_write_execute |= 0o222,
            'x' => clause.read_write_execute |= 0o111,
            'X' => clause.execute_if_any = true,
            's' => clause.set_id = true,
            't' => clause.sticky = true,
            'u' | 'g' | 'o' => clause.copy_from = Some(character),
            _ => return None,
        }
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut bits = self.read_write_execute;
        if self.execute_if_any && (is_directory || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(from) = self.copy_from {
            let shift = match from {
                'u' => 6,
                'g' => 3,
                _ => 0,
            };
            bits |= ((mode >> shift) & 7) * 0o111;
        }
        let mut changed = bits & self.who;
        if self.set_id {
            changed |= if self.who & 0o700 != 0 { 0o4000 } else { 0 };
            changed |= if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        }
        if self.sticky {
            changed |= 0o1000;
        }
        match self.operator {
            '+' => mode | changed,
            '-' => mode & !changed,
            _ => (mode & !self.who) | changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_chmod() {
        for (text, mode, directory, expected) in [
            ("644", 0o755, false, 0o644),
            ("0755", 0o600, true, 0o755),
            ("7777", 0, false, 0o7777),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("g+s,+t", 0o755, true, 0o3755),
            ("a=", 0o755, false, 0),
            ("u=rw+x", 0o000, false, 0o700),
        ] {
            let chmod = Chmod::parse(text).expect(text);
            assert_eq!(chmod.apply(mode, directory), expected, "{text} on {mode:o}");
        }
    }

    #[test]
    fn refuses_what_is_no_mode() {
        for text in ["", "8", "77777", "u", "z+x", "u+q", "rwx", "u=rw,"] {
            let error = Chmod::parse(text).expect_err(text).to_string();
            assert!(error.contains("between 0 and 07777"), "{error}");
        }
    }
}
