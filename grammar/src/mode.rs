//! File modes as `--chmod` takes them: octal, or symbolic as in `u=rwX,go=rX`.

/// A parsed mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// These bits, for files and directories alike.
    Bits(u32),
    /// Changes to the bits that are there.
    Symbolic(Vec<Clause>),
}

/// One `[ugoa...][+-=][rwxXst...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Which bits it touches: the mask of user, group and others.
    who: u32,
    action: Action,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Permissions {
    /// `rwx` for one class, as 0 to 7.
    bits: u32,
    /// `X`: execute if a directory or already executable for anyone.
    conditional_execute: bool,
    set_id: bool,
    sticky: bool,
    /// `u`, `g` or `o` on the right: the shift of the class to copy from.
    copy_from: Option<u32>,
}

const ALL_CLASSES: u32 = 0o777;

impl Mode {
    /// Reads a mode; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return u32::from_str_radix(text, 8)
                .ok()
                .filter(|bits| *bits <= 0o7777)
                .map(Self::Bits);
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            read_clause(clause, &mut clauses)?;
        }
        Some(Self::Symbolic(clauses))
    }

    /// The bits of a file that has `bits` now.
    pub fn apply(&self, bits: u32, is_directory: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Symbolic(clauses) => clauses.iter().fold(bits & 0o7777, |bits, clause| {
                clause.apply(bits, is_directory)
            }),
        }
    }
}

fn read_clause(text: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let operators = ['+', '-', '='];
    let split = text.find(operators)?;
    let mut who = 0;
    for class in text[..split].chars() {
        who |= match class {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => ALL_CLASSES,
            _ => return None,
        };
    }
    if who == 0 {
        who = ALL_CLASSES;
    }
    let mut rest = &text[split..];
    while let Some(operator) = rest.chars().next() {
        let action = match operator {
            '+' => Action::Add,
            '-' => Action::Remove,
            _ => Action::Set,
        };
        let end = rest[1..].find(operators).map_or(rest.len(), |end| end + 1);
        clauses.push(Clause {
            who,
            action,
            permissions: read_permissions(&rest[1..end])?,
        });
        rest = &rest[end..];
    }
    Some(())
}

fn read_permissions(text: &str) -> Option<Permissions> {
    let mut permissions = Permissions::default();
    if let "u" | "g" | "o" = text {
        permissions.copy_from = Some(match text {
            "u" => 6,
            "g" => 3,
            _ => 0,
        });
        return Some(permissions);
    }
    for permission in text.chars() {
        match permission {
            'r' => permissions.bits |= 4,
            'w' => permissions.bits |= 2,
            'x' => permissions.bits |= 1,
            'X' => permissions.conditional_execute = true,
            's' => permissions.set_id = true,
            't' => permissions.sticky = true,
            _ => return None,
        }
    }
    Some(permissions)
}

impl Clause {
    fn apply(&self, bits: u32, is_directory: bool) -> u32 {
        let Permissions {
            bits: mut one,
            conditional_execute,
            set_id,
            sticky,
            copy_from,
        } = self.permissions;
        if let Some(shift) = copy_from {
            one = (bits >> shift) & 7;
        }
        if conditional_execute && (is_directory || bits & 0o111 != 0) {
            one |= 1;
        }
        let mut change = (one * 0o111) & self.who;
        let has = |class: u32| self.who & class != 0;
        if set_id {
            change |= if has(0o700) { 0o4000 } else { 0 } | if has(0o070) { 0o2000 } else { 0 };
        }
        if sticky {
            change |= 0o1000;
        }
        match self.action {
            Action::Add => bits | change,
            Action::Remove => bits & !change,
            Action::Set => {
                let special =
                    if has(0o700) { 0o4000 } else { 0 } | if has(0o070) { 0o2000 } else { 0 };
                // As chmod does, `=` leaves the set-id bits of directories alone unless it names them.
                let cleared = self.who | if is_directory { 0 } else { special };
                (bits & !cleared) | change
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (mode, before, directory, after) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o755, true, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("u+s,+t", 0o755, false, 0o5755),
            ("g=u", 0o640, false, 0o660),
            ("u+x-w", 0o644, false, 0o544),
        ] {
            assert_eq!(
                Mode::parse(mode).map(|mode| mode.apply(before, directory)),
                Some(after),
                "{mode}"
            );
        }
        for mode in ["", "8", "10000", "rwx", "u", "z=r", "u=q", "0o755"] {
            assert_eq!(Mode::parse(mode), None, "{mode}");
        }
    }
}
