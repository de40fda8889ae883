//! Subordinate ids: `/etc/subuid` and `/etc/subgid`, lines of `NAME-OR-NUMBER:FIRST:COUNT`.

use std::path::Path;

use super::{EnterError, EnterOptions};

/// The most ranges that a kernel takes in one map is 340; longer files are cut there.
const RANGE_LIMIT: usize = 340;

/// A run of ids in the new namespace and what they are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The map for the calling user with id `own` of the kind that `file` is about.
pub(super) fn map(options: &EnterOptions, file: &Path, own: u32) -> Result<Vec<Range>, EnterError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| EnterError::File {
            file: path.to_owned(),
            source,
        })
    };
    let uid = rustix::process::getuid().as_raw();
    let name = read(&options.passwd)
        .ok()
        .and_then(|passwd| name_of(&passwd, uid));
    let ranges = if file.exists() {
        ranges(&read(file)?, name.as_deref(), uid, own)
    } else {
        Vec::new()
    };
    if ranges.len() < 2 {
        let user = name.unwrap_or_else(|| uid.to_string());
        return Err(EnterError::NoSubordinateIds {
            user,
            file: file.to_owned(),
        });
    }
    Ok(ranges)
}

/// The name of a user in an account database.
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == uid).then(|| name.to_owned())
    })
}

/// The whole map: 0 is `own`, the ranges of all lines of the user follow without gaps. Ids that are given twice, or that
/// are the user's own, are left out, because the kernel takes each one once.
fn ranges(text: &str, name: Option<&str>, uid: u32, own: u32) -> Vec<Range> {
    let uid = uid.to_string();
    let mut map = vec![Range {
        inside: 0,
        outside: own,
        count: 1,
    }];
    let mut inside = 1_u32;
    for line in text.lines() {
        let mut fields = line.split('#').next().unwrap_or_default().trim().split(':');
        let (Some(who), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(first), Ok(count)) = (first.trim().parse::<u32>(), count.trim().parse::<u32>())
        else {
            continue;
        };
        let ours = Some(who) == name || who == uid;
        let fits = first.checked_add(count).is_some() && inside.checked_add(count).is_some();
        let overlaps = |range: &Range| {
            first < range.outside.saturating_add(range.count)
                && range.outside < first.saturating_add(count)
        };
        if !ours || count == 0 || !fits || map.iter().any(overlaps) || map.len() == RANGE_LIMIT {
            continue;
        }
        map.push(Range {
            inside,
            outside: first,
            count,
        });
        inside += count;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, u32, u32)]) {
        let found: Vec<_> = ranges(text, Some("anna"), 1000, 1000)
            .into_iter()
            .map(|range| (range.inside, range.outside, range.count))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn ranges_of_a_user_follow_each_other() {
        check(
            "anna:100000:65536\nbert:165536:65536\n",
            &[(0, 1000, 1), (1, 100_000, 65536)],
        );
        check(
            "# comment\nanna:100000:10\n1000:200000:5\n\nbroken\nanna:x:1\nanna:300000:0\n",
            &[(0, 1000, 1), (1, 100_000, 10), (11, 200_000, 5)],
        );
    }

    #[test]
    fn ids_that_overlap_are_left_out() {
        check(
            "anna:100000:10\nanna:100005:10\nanna:990:20\nanna:4294967295:5\n",
            &[(0, 1000, 1), (1, 100_000, 10)],
        );
        check("bert:1:2\n", &[(0, 1000, 1)]);
    }

    #[test]
    fn names_come_from_the_account_database() {
        let passwd = "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("anna"));
        assert_eq!(name_of(passwd, 7), None);
    }
}
