//! System call filters.

mod aarch64;
mod compile;
mod condition;
#[cfg(test)]
mod interpret;
mod profile;
mod rules;
mod x86_64;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::Capabilities;
use crate::wire::Bytes;
use compile::{Action, Instruction};
pub use profile::{Profile, ProfileError};

/// An instruction set whose system calls we know.
#[derive(Debug, Clone, Copy)]
struct Architecture {
    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    audit: u32,
    /// Docker's name for it.
    docker: &'static str,
    calls: &'static [(u32, &'static str)],
}

const X86_64: Architecture = Architecture {
    audit: 0xC000_003E,
    docker: "amd64",
    calls: x86_64::CALLS,
};
const AARCH64: Architecture = Architecture {
    audit: 0xC000_00B7,
    docker: "arm64",
    calls: aarch64::CALLS,
};

/// The one that we run on.
const HOST: Architecture = if cfg!(target_arch = "aarch64") {
    AARCH64
} else {
    X86_64
};

/// The default filter for a process that may hold these capabilities. Compiled once for each set.
pub(crate) fn default_program(capabilities: Capabilities) -> Bytes {
    static COMPILED: Mutex<Option<HashMap<u64, Bytes>>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let programs = compiled.get_or_insert_default();
    let program = || Bytes(compile::bytes(&compiled_for(HOST, capabilities)));
    programs
        .entry(capabilities.0)
        .or_insert_with(program)
        .clone()
}

/// Numbers and names of the system calls of this machine.
pub(crate) fn names() -> &'static [(u32, &'static str)] {
    HOST.calls
}

/// A filter that asks another process about these calls (`seccomp_unotify(2)`) and lets all others through. A call with the number of
/// an argument is only asked about if that argument has one of the bits.
pub(crate) fn asking(calls: &[(&str, Option<u32>)], bits: u32) -> Bytes {
    let code = |(number, name): &(u32, &str)| {
        let (_, argument) = calls.iter().find(|(wanted, _)| wanted == name)?;
        Some((
            *number,
            compile::ask(argument.map(|argument| (argument, bits))),
        ))
    };
    let calls: Vec<_> = HOST.calls.iter().filter_map(code).collect();
    // The calls are few and far from the limit.
    Bytes(compile::bytes(
        &compile::assemble(HOST.audit, &calls, compile::answer(compile::RETURN_ALLOW))
            .unwrap_or_default(),
    ))
}

/// A filter in which one call fails, all others being allowed; with `second`, only if its second argument is this.
pub(crate) fn failing(name: &str, second: Option<u32>, errno: i32) -> Bytes {
    let number = HOST
        .calls
        .iter()
        .find(|(_, known)| *known == name)
        .map_or(u32::MAX, |(number, _)| *number);
    Bytes(compile::bytes(&compile::failing(number, second, errno)))
}

fn compiled_for(architecture: Architecture, capabilities: Capabilities) -> Vec<Instruction> {
    let action = |(number, name): &(u32, &str)| (*number, rules::action(name, capabilities));
    let calls: Vec<(u32, Action)> = architecture.calls.iter().map(action).collect();
    compile::program(architecture.audit, &calls)
}

#[cfg(test)]
mod tests {
    use super::compile::{Check, NETLINK, REFUSED_FAMILIES, XFRM};
    use super::interpret::{Call, Verdict, run};
    use super::*;

    fn verdict(
        program: &[Instruction],
        architecture: Architecture,
        number: u32,
        arguments: [u64; 6],
    ) -> Verdict {
        run(
            program,
            &Call {
                number,
                architecture: architecture.audit,
                arguments,
            },
        )
    }

    #[test]
    fn every_number_gets_what_the_rules_say() {
        for architecture in [X86_64, AARCH64] {
            for capabilities in [Capabilities::NONE, Capabilities::DOCKER, Capabilities::ALL] {
                let program = compiled_for(architecture, capabilities);
                assert!(program.len() < 400, "{} instructions", program.len());
                for number in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
                    let name = architecture
                        .calls
                        .iter()
                        .find(|call| call.0 == number)
                        .map(|call| call.1);
                    let expected = match name.map(|name| rules::action(name, capabilities)) {
                        None => Verdict::Error(libc::ENOSYS),
                        Some(Action::Allow) => Verdict::Allow,
                        Some(Action::Fail(errno)) => Verdict::Error(errno),
                        // With all arguments zero, every condition holds.
                        Some(Action::Check(_)) => Verdict::Allow,
                    };
                    assert_eq!(
                        verdict(&program, architecture, number, [0; 6]),
                        expected,
                        "{number} {name:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn foreign_calls_do_not_exist() {
        let program = compiled_for(X86_64, Capabilities::DOCKER);
        for audit in [0x4000_0003, AARCH64.audit] {
            let call = Call {
                number: 1,
                architecture: audit,
                arguments: [0; 6],
            };
            assert_eq!(run(&program, &call), Verdict::Error(libc::ENOSYS));
        }
    }

    fn number(name: &str) -> u32 {
        X86_64
            .calls
            .iter()
            .find(|call| call.1 == name)
            .map(|call| call.0)
            .expect("a call of that name")
    }

    #[test]
    fn arguments_are_checked() {
        let program = compiled_for(X86_64, Capabilities::DOCKER);
        let check = |name: &str, arguments: [u64; 3], expected| {
            let arguments = [arguments[0], arguments[1], arguments[2], 0, 0, 0];
            assert_eq!(
                verdict(&program, X86_64, number(name), arguments),
                expected,
                "{name} {arguments:x?}"
            );
        };
        let refused = Verdict::Error(libc::EPERM);
        check("clone", [0x0100_0011, 0, 0], Verdict::Allow);
        check("clone", [0x1000_0011, 0, 0], refused);
        check("clone", [0xFFFF_FFFF_0000_0011, 0, 0], Verdict::Allow);
        check("clone3", [0, 0, 0], Verdict::Error(libc::ENOSYS));
        check("personality", [0x2_0008, 0, 0], Verdict::Allow);
        check("personality", [0x40_0000, 0, 0], refused);
        for family in 0..64 {
            let expected = if REFUSED_FAMILIES.contains(&family) {
                refused
            } else {
                Verdict::Allow
            };
            check("socket", [u64::from(family), 1, 0], expected);
            // The kernel looks at 32 bits only, and so do we.
            check("socket", [u64::from(family) | 1 << 40, 1, 0], expected);
        }
        check("socket", [u64::from(NETLINK), 3, u64::from(XFRM)], refused);
        check("socket", [2, 3, u64::from(XFRM)], Verdict::Allow);
    }

    #[test]
    fn what_is_refused_and_what_is_not() {
        let refused = [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "bpf",
            "keyctl",
            "add_key",
            "request_key",
            "io_uring_setup",
            "userfaultfd",
            "perf_event_open",
            "kexec_load",
            "init_module",
            "open_by_handle_at",
            "reboot",
            "swapon",
            "settimeofday",
            "move_mount",
            "fsopen",
            "open_tree",
            "pivot_root",
            "quotactl",
            "process_madvise",
            "acct",
        ];
        for name in refused {
            assert_eq!(
                rules::action(name, Capabilities::DOCKER),
                Action::Fail(libc::EPERM),
                "{name}"
            );
        }
        assert_eq!(rules::action("chroot", Capabilities::DOCKER), Action::Allow);
        assert_eq!(rules::action("mount", Capabilities::ALL), Action::Allow);
        assert!(matches!(
            rules::action("clone", Capabilities::DOCKER),
            Action::Check(Check::NoneOf { .. })
        ));
    }
}
