//! Who processes claim to be.

use rustix::io::Errno;

use super::give::UNCHANGED;
use super::{Owners, Recording};
use crate::sys::notify::{self, Notification, Reply};

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Set(Kind, Which),
    Get(Kind, Which),
    SetGroups,
    GetGroups,
}

/// Users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

/// Which ids of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The real one, or with root's power all of them.
    Real,
    Effective,
    /// Real and effective.
    Two,
    /// Real, effective and saved.
    Three,
    /// The one for files.
    File,
}

pub(super) const CALLS: &[(&str, Call)] = &[
    ("setuid", Call::Set(Kind::User, Which::Real)),
    ("setgid", Call::Set(Kind::Group, Which::Real)),
    ("setreuid", Call::Set(Kind::User, Which::Two)),
    ("setregid", Call::Set(Kind::Group, Which::Two)),
    ("setresuid", Call::Set(Kind::User, Which::Three)),
    ("setresgid", Call::Set(Kind::Group, Which::Three)),
    ("setfsuid", Call::Set(Kind::User, Which::File)),
    ("setfsgid", Call::Set(Kind::Group, Which::File)),
    ("setgroups", Call::SetGroups),
    ("getgroups", Call::GetGroups),
    ("getuid", Call::Get(Kind::User, Which::Real)),
    ("geteuid", Call::Get(Kind::User, Which::Effective)),
    ("getgid", Call::Get(Kind::Group, Which::Real)),
    ("getegid", Call::Get(Kind::Group, Which::Effective)),
    ("getresuid", Call::Get(Kind::User, Which::Three)),
    ("getresgid", Call::Get(Kind::Group, Which::Three)),
];

/// Longer lists than any account database gives; the kernel's own limit is 65536 (`NGROUPS_MAX`). Both limits bound the memory that a
/// container can make this process use.
const GROUPS_LIMIT: u64 = 4096;
/// More identities than a container with thousands of accounts takes on.
const IDENTITIES_LIMIT: usize = 4096;

/// The ids of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    real: u32,
    effective: u32,
    saved: u32,
    pub file: u32,
}

impl Ids {
    fn all(id: u32) -> Self {
        Self {
            real: id,
            effective: id,
            saved: id,
            file: id,
        }
    }

    /// These after a call, as the kernel has its rules (credentials(7)): whoever has no power over ids may only swap its own.
    fn after(
        self,
        which: Which,
        [first, second, third]: [u32; 3],
        power: bool,
    ) -> Result<Self, Errno> {
        let own = [self.real, self.effective, self.saved];
        let allowed = |id: u32| power || id == UNCHANGED || own.contains(&id);
        let or = |new: u32, old: u32| if new == UNCHANGED { old } else { new };
        let next = match which {
            Which::Real if first == UNCHANGED => return Err(Errno::INVAL),
            Which::Real if power => Self::all(first),
            Which::Real => Self {
                effective: first,
                file: first,
                ..self
            },
            Which::Two => {
                let effective = or(second, self.effective);
                let changes = first != UNCHANGED || second != UNCHANGED && second != self.real;
                Self {
                    real: or(first, self.real),
                    effective,
                    saved: if changes { effective } else { self.saved },
                    file: effective,
                }
            }
            Which::Three => Self {
                real: or(first, self.real),
                effective: or(second, self.effective),
                saved: or(third, self.saved),
                file: or(second, self.effective),
            },
            Which::Effective | Which::File => Self {
                file: first,
                ..self
            },
        };
        let asked: &[u32] = match which {
            Which::Three => &[first, second, third],
            Which::Two => &[first, second],
            _ => &[first],
        };
        match asked.iter().all(|id| allowed(*id)) {
            true => Ok(next),
            false => Err(Errno::PERM),
        }
    }
}

/// Who a process claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub user: Ids,
    pub group: Ids,
    groups: Vec<u32>,
}

impl Identity {
    /// Whether it may give away what belongs to `owner`: root anything, others what is theirs to groups of their own.
    pub(super) fn may_give(&self, owner: (u32, u32), uid: u32, gid: u32) -> bool {
        let own_group = self.group.file == gid || self.groups.contains(&gid);
        let stays = uid == UNCHANGED || uid == owner.0;
        let group_stays = gid == UNCHANGED || gid == owner.1;
        self.user.file == 0 || owner.0 == self.user.file && stays && (group_stays || own_group)
    }
}

/// All that were ever claimed. Processes carry their place in this list as their mark; without one they are the first.
#[derive(Debug)]
pub(super) struct Identities {
    known: Vec<Identity>,
}

impl Identities {
    pub(super) fn new(recording: &Recording) -> Self {
        Self {
            known: vec![Identity {
                user: Ids::all(recording.uid),
                group: Ids::all(recording.gid),
                groups: recording.groups.clone(),
            }],
        }
    }

    /// That of a process.
    pub(super) fn of(&self, pid: u32) -> &Identity {
        let mark = notify::mark(pid).ok().flatten();
        mark.and_then(|mark| self.known.get(usize::try_from(mark).ok()?))
            .unwrap_or(&self.known[0])
    }

    fn set(&mut self, pid: u32, identity: Identity) -> Result<(), Errno> {
        let place = match self.known.iter().position(|known| *known == identity) {
            Some(place) => place,
            None if self.known.len() == IDENTITIES_LIMIT => return Err(Errno::AGAIN),
            None => {
                self.known.push(identity);
                self.known.len() - 1
            }
        };
        notify::set_mark(pid, place as u64)
    }
}

impl Owners {
    pub(super) fn identity(&mut self, call: Call, asked: &Notification) -> Result<Reply, Errno> {
        match call {
            Call::Set(kind, which) => self.set_ids(kind, which, asked),
            Call::Get(kind, which) => self.get_ids(kind, which, asked),
            Call::SetGroups => self.set_groups(asked),
            Call::GetGroups => self.get_groups(asked),
        }
    }

    fn set_ids(&mut self, kind: Kind, which: Which, asked: &Notification) -> Result<Reply, Errno> {
        let [first, second, third, ..] = asked.arguments.map(|argument| argument as u32);
        let mut identity = self.identities.of(asked.pid).clone();
        let power = identity.user.effective == 0;
        let ids = match kind {
            Kind::User => &mut identity.user,
            Kind::Group => &mut identity.group,
        };
        let before = *ids;
        let after = before.after(which, [first, second, third], power);
        let reply = match which {
            // It never fails, and returns what was there.
            Which::File => {
                let new = after.ok().filter(|_| first != UNCHANGED);
                *ids = new.unwrap_or(before);
                Reply::Value(i64::from(before.file))
            }
            _ => {
                *ids = after?;
                Reply::Value(0)
            }
        };
        self.still_asks(asked)?;
        self.identities.set(asked.pid, identity)?;
        Ok(reply)
    }

    fn get_ids(&self, kind: Kind, which: Which, asked: &Notification) -> Result<Reply, Errno> {
        let identity = self.identities.of(asked.pid);
        let ids = match kind {
            Kind::User => identity.user,
            Kind::Group => identity.group,
        };
        match which {
            Which::Three => {
                let values = [ids.real, ids.effective, ids.saved];
                self.still_asks(asked)?;
                for (address, id) in asked.arguments.into_iter().zip(values) {
                    self.places.write(asked.pid, address, &id.to_ne_bytes())?;
                }
                Ok(Reply::Value(0))
            }
            Which::Effective => Ok(Reply::Value(ids.effective.into())),
            _ => Ok(Reply::Value(ids.real.into())),
        }
    }

    fn set_groups(&mut self, asked: &Notification) -> Result<Reply, Errno> {
        let [count, address, ..] = asked.arguments;
        let count = u64::from(count as u32);
        let mut identity = self.identities.of(asked.pid).clone();
        if identity.user.effective != 0 {
            return Err(Errno::PERM);
        }
        if count > GROUPS_LIMIT {
            return Err(Errno::INVAL);
        }
        identity.groups = match count {
            0 => Vec::new(),
            count => self.places.numbers(asked.pid, address, count as usize)?,
        };
        identity.groups.sort_unstable();
        self.still_asks(asked)?;
        self.identities.set(asked.pid, identity)?;
        Ok(Reply::Value(0))
    }

    fn get_groups(&self, asked: &Notification) -> Result<Reply, Errno> {
        let [room, address, ..] = asked.arguments;
        let room = room as i32;
        let groups = &self.identities.of(asked.pid).groups;
        let count = groups.len();
        if room < 0 || room != 0 && (room as usize) < count {
            return Err(Errno::INVAL);
        }
        if room != 0 {
            let bytes: Vec<u8> = groups.iter().flat_map(|id| id.to_ne_bytes()).collect();
            self.still_asks(asked)?;
            self.places.write(asked.pid, address, &bytes)?;
        }
        Ok(Reply::Value(count as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_becomes_anybody_and_nobody_else_does() {
        let root = Ids::all(0);
        let user = root.after(Which::Real, [33, 0, 0], true).unwrap();
        assert_eq!(user, Ids::all(33));
        assert_eq!(user.after(Which::Real, [0, 0, 0], false), Err(Errno::PERM));
        let kept = root
            .after(Which::Three, [UNCHANGED, 33, UNCHANGED], true)
            .unwrap();
        assert_eq!(
            (kept.real, kept.effective, kept.saved, kept.file),
            (0, 33, 0, 33)
        );
        // What was saved can be taken back.
        let back = kept
            .after(Which::Three, [UNCHANGED, 0, UNCHANGED], false)
            .unwrap();
        assert_eq!(back, root);
        assert_eq!(
            kept.after(Which::Two, [UNCHANGED, 7, 0], false),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn setreuid_moves_the_saved_id() {
        let swapped = Ids::all(0)
            .after(Which::Two, [UNCHANGED, 5, 0], true)
            .unwrap();
        assert_eq!((swapped.real, swapped.effective, swapped.saved), (0, 5, 5));
    }
}
