//! Which system calls are let through.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::seccomp;
use crate::sys::attempt;

/// Answers of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Calls that answer "not permitted" to senseless arguments.
    pub not_permitted: Vec<String>,
    /// Calls that are not there.
    pub absent: Vec<String>,
    /// Answers to numbers that no kernel has, by number.
    pub unknown: BTreeMap<u32, String>,
    /// Answers to `socket`, by address family, where they are not the kernel's own.
    pub sockets: BTreeMap<u32, String>,
    /// Answers to calls whose arguments decide.
    pub arguments: BTreeMap<String, String>,
}

/// Calls that are not tried: they don't come back, come back twice, or work with any arguments and harm.
const LEFT_OUT: [&str; 12] = [
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "fork",
    "map_shadow_stack",
    "pause",
    "rt_sigreturn",
    "sync",
    "uretprobe",
    "vfork",
    "vhangup",
];

/// Numbers far above every known one.
const UNKNOWN: [u32; 3] = [700, 1000, 0x3fff_ffff];

/// Address families up to the highest that Linux has (`AF_MCTP`).
const FAMILIES: std::ops::RangeInclusive<u32> = 1..=45;

impl Calls {
    pub(super) fn attempt() -> Self {
        let (mut not_permitted, mut absent) = (Vec::new(), Vec::new());
        for (number, name) in seccomp::names() {
            if LEFT_OUT.contains(name) {
                continue;
            }
            match attempt::call(i64::from(*number), [-1; 3]) {
                Some(libc::EPERM) => not_permitted.push((*name).to_owned()),
                Some(libc::ENOSYS) => absent.push((*name).to_owned()),
                _ => {}
            }
        }
        not_permitted.sort();
        absent.sort();
        Self {
            not_permitted,
            absent,
            unknown: UNKNOWN
                .map(|number| (number, answer(attempt::call(i64::from(number), [-1; 3]))))
                .into(),
            sockets: sockets(),
            arguments: arguments(),
        }
    }
}

/// The answer in a word: the name of an error that filters use, else `made`.
pub(super) fn answer(code: Option<i32>) -> String {
    match code {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS".to_owned(),
        Some(_) => "made".to_owned(),
        None => "no answer".to_owned(),
    }
}

/// A family that the kernel lacks has an error of its own.
fn sockets() -> BTreeMap<u32, String> {
    let ask = |family: u32| {
        let kind = i64::from(libc::SOCK_DGRAM);
        (
            family,
            answer(attempt::call(
                libc::SYS_socket,
                [i64::from(family), kind, 0],
            )),
        )
    };
    FAMILIES
        .map(ask)
        .filter(|(_, answer)| answer != "made")
        .collect()
}

fn arguments() -> BTreeMap<String, String> {
    let ask = |name: &str, number: i64, arguments: [i64; 3]| {
        (name.to_owned(), answer(attempt::call(number, arguments)))
    };
    let namespace = |name: &str, flag: i32| {
        // The child of the child ends with it: the flag makes it fail, or it is a copy that answers and ends.
        ask(name, libc::SYS_unshare, [i64::from(flag), 0, 0])
    };
    let clone = |name: &str, flag: i32| {
        ask(
            name,
            libc::SYS_clone,
            [i64::from(flag | libc::SIGCHLD), 0, 0],
        )
    };
    let netlink = |name: &str, protocol: i64| {
        ask(
            name,
            libc::SYS_socket,
            [
                i64::from(libc::AF_NETLINK),
                i64::from(libc::SOCK_RAW),
                protocol,
            ],
        )
    };
    [
        namespace("unshare user", libc::CLONE_NEWUSER),
        namespace("unshare mount", libc::CLONE_NEWNS),
        namespace("unshare network", libc::CLONE_NEWNET),
        clone("clone user", libc::CLONE_NEWUSER),
        clone("clone", 0),
        // Without any arguments it is refused by the kernel itself.
        ask("clone3", libc::SYS_clone3, [0, 0, 0]),
        ask("personality 0", libc::SYS_personality, [0, 0, 0]),
        ask(
            "personality query",
            libc::SYS_personality,
            [0xffff_ffff, 0, 0],
        ),
        ask(
            "personality without address randomisation",
            libc::SYS_personality,
            [0x4_0000, 0, 0],
        ),
        netlink("netlink route", 0),
        netlink("netlink xfrm", 6),
        netlink("netlink netfilter", 12),
        ("32-bit getpid".to_owned(), answer(attempt::compat_getpid())),
        ask("x32 getpid", 0x4000_0000 | libc::SYS_getpid, [0; 3]),
    ]
    .into()
}
