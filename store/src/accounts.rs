//! Users and groups of an image, from its `/etc/passwd` and `/etc/group`.
//!
//! The files are read through a [`View`], so a link in the image can't lead to the host's; only regular files of moderate
//! size count. A number is always an id, never a name.

use crate::layer::{LayerError, Result};
use crate::view::{Follow, View};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// Larger files are not read: real ones have a few kilobytes.
const MAX_FILE: u64 = 1 << 20;
/// `(uid_t)-1` means "no change" to the kernel.
const MAX_ID: u32 = u32::MAX - 1;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// Its main group.
    pub gid: u32,
    /// Further groups, sorted.
    pub groups: Vec<u32>,
    /// The home directory; `/` when the image knows none.
    pub home: Vec<u8>,
    /// The login name, if the image knows the user.
    pub name: Option<Vec<u8>>,
}

/// A user specification as written: `name`, `uid`, either with `:group` or `:gid`.
struct Specification<'a> {
    user: Who<'a>,
    group: Option<Who<'a>>,
}

enum Who<'a> {
    Id(u32),
    Name(&'a str),
}

/// One line of `passwd`.
struct User<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

/// Finds who a process of this user is. No specification means root.
///
/// Without a group, the user's main group and those that list it apply; a uid that the image doesn't know has group 0. With
/// a group, only that.
pub fn user(view: &View, specification: &str) -> Result<Account> {
    let wanted = parse(if specification.is_empty() {
        "0"
    } else {
        specification
    })?;
    let passwd = read(view, PASSWD)?;
    let known = users(&passwd).find(|user| match &wanted.user {
        Who::Id(uid) => user.uid == *uid,
        Who::Name(name) => user.name == name.as_bytes(),
    });
    let uid = match (&known, &wanted.user) {
        (Some(user), _) => user.uid,
        (None, Who::Id(uid)) => *uid,
        (None, Who::Name(name)) => return Err(unknown("user", name, PASSWD)),
    };
    let mut account = Account {
        uid,
        gid: known.as_ref().map_or(0, |user| user.gid),
        groups: Vec::new(),
        home: known
            .as_ref()
            .map(|user| user.home.to_vec())
            .filter(|home| !home.is_empty())
            .unwrap_or(b"/".to_vec()),
        name: known.as_ref().map(|user| user.name.to_vec()),
    };
    match &wanted.group {
        Some(Who::Id(gid)) => account.gid = *gid,
        Some(Who::Name(name)) => account.gid = group_id(view, name)?,
        None => {
            if let Some(user) = &known {
                let group = read(view, GROUP)?;
                account.groups = groups(&group)
                    .filter(|(_, _, members)| {
                        members
                            .split(|byte| *byte == b',')
                            .any(|member| member == user.name)
                    })
                    .map(|(_, gid, _)| gid)
                    .collect();
                account.groups.sort_unstable();
                account.groups.dedup();
            }
        }
    }
    Ok(account)
}

/// Finds the owner that `--chown` means: a name's main group when none is given, a number's own number.
pub fn owner(view: &View, specification: &str) -> Result<(u32, u32)> {
    let wanted = parse(specification)?;
    let (uid, main_group) = match &wanted.user {
        Who::Id(uid) => (*uid, *uid),
        Who::Name(name) => {
            let passwd = read(view, PASSWD)?;
            let user = users(&passwd).find(|user| user.name == name.as_bytes());
            user.map(|user| (user.uid, user.gid))
                .ok_or_else(|| unknown("user", name, PASSWD))?
        }
    };
    let gid = match &wanted.group {
        None => main_group,
        Some(Who::Id(gid)) => *gid,
        Some(Who::Name(name)) => group_id(view, name)?,
    };
    Ok((uid, gid))
}

/// True when finding the owner reads the image's files, so that they matter to a cache.
#[must_use]
pub fn needs_names(specification: &str) -> bool {
    parse(specification).is_ok_and(|wanted| {
        matches!(wanted.user, Who::Name(_)) || matches!(wanted.group, Some(Who::Name(_)))
    })
}

fn group_id(view: &View, name: &str) -> Result<u32> {
    let file = read(view, GROUP)?;
    let found = groups(&file).find(|(group, _, _)| *group == name.as_bytes());
    found
        .map(|(_, gid, _)| gid)
        .ok_or_else(|| unknown("group", name, GROUP))
}

fn parse(specification: &str) -> Result<Specification<'_>> {
    let bad = || LayerError::BadUser(specification.to_owned());
    let (user, group) = match specification.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (specification, None),
    };
    let group = group.map(|group| who(group).ok_or_else(bad)).transpose()?;
    Ok(Specification {
        user: who(user).ok_or_else(bad)?,
        group,
    })
}

fn who(text: &str) -> Option<Who<'_>> {
    if text.is_empty() || text.contains([':', '\n', '\0']) {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|id| *id <= MAX_ID).map(Who::Id);
    }
    // `-1` or `+5` would be numbers to some parsers.
    let starts_like_number =
        text.starts_with(['-', '+']) && text[1..].bytes().all(|byte| byte.is_ascii_digit());
    (!starts_like_number).then_some(Who::Name(text))
}

/// A missing file is an empty one; anything else that is no regular file is an error.
fn read(view: &View, path: &str) -> Result<Vec<u8>> {
    match view.lookup(path.as_bytes(), Follow::All)? {
        Some(entry) => view.read_file(&entry, MAX_FILE),
        None => Ok(Vec::new()),
    }
}

fn users(file: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next()?;
        let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        let home = fields.nth(1).unwrap_or_default();
        Some(User {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn groups(file: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?)?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && line[0] != b'#')
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field)
        .ok()?
        .parse()
        .ok()
        .filter(|id| *id <= MAX_ID)
}

fn unknown(what: &'static str, name: &str, file: &'static str) -> LayerError {
    LayerError::UnknownAccount {
        what,
        name: name.to_owned(),
        file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn image() -> (tempfile::TempDir, View) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# no\nweb:x:33:34::/srv:/bin/false\nbroken\nbad:x:-1:0::/:\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(
            root.path().join("etc/group"),
            "root:x:0:\nweb:x:34:\nlog:x:40:a,web\nadm:x:4:web\n",
        )
        .unwrap();
        let view = View::directory(root.path());
        (root, view)
    }

    #[test]
    fn processes() {
        let (_root, view) = image();
        let ids = |text: &str| {
            user(&view, text)
                .map(|a| (a.uid, a.gid, a.groups, a.home))
                .ok()
        };
        assert_eq!(ids(""), Some((0, 0, vec![], b"/root".to_vec())));
        assert_eq!(ids("web"), Some((33, 34, vec![4, 40], b"/srv".to_vec())));
        assert_eq!(ids("33"), ids("web"));
        assert_eq!(ids("web:log"), Some((33, 40, vec![], b"/srv".to_vec())));
        assert_eq!(ids("1000"), Some((1000, 0, vec![], b"/".to_vec())));
        assert_eq!(ids("1000:7"), Some((1000, 7, vec![], b"/".to_vec())));
        for text in [
            "nobody",
            "web:none",
            "-1",
            "+3",
            ":4",
            "a:b:c",
            "4294967295",
            "99999999999",
        ] {
            assert_eq!(ids(text), None, "{text}");
        }
    }

    #[test]
    fn owners() {
        let (_root, view) = image();
        assert_eq!(owner(&view, "7").unwrap(), (7, 7));
        assert_eq!(owner(&view, "web").unwrap(), (33, 34));
        assert_eq!(owner(&view, "web:0").unwrap(), (33, 0));
        assert!(
            owner(&view, "nobody")
                .unwrap_err()
                .to_string()
                .contains("no user named `nobody`")
        );
        assert!(needs_names("web") && needs_names("1:web") && !needs_names("1:2"));
    }

    #[test]
    fn only_regular_files_inside_the_image() {
        let (root, view) = image();
        fs::remove_file(root.path().join("etc/passwd")).unwrap();
        assert!(user(&view, "web").is_err());
        symlink(
            "/etc/../../../../proc/self/status",
            root.path().join("etc/passwd"),
        )
        .unwrap();
        assert!(user(&view, "web").is_err());
        fs::remove_file(root.path().join("etc/passwd")).unwrap();
        fs::create_dir(root.path().join("etc/passwd")).unwrap();
        assert!(user(&view, "0").is_err());
    }
}
