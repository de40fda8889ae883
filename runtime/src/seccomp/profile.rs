//! Custom profiles in Docker's JSON (`--security-opt seccomp=FILE`).
//!
//! The rules are those of Docker: conditions of one rule hold together, unless two of them are about the same argument, which are
//! alternatives; rules for one call are alternatives; `includes` and `excludes` choose rules by capabilities, architecture and
//! kernel. Numbers that kiln does not know fail with `ENOSYS`, as do calls of other architectures.

use serde::Deserialize;

use super::compile::{self, Instruction};
use super::condition::{Comparison, Condition, rule};
use super::{Architecture, HOST};
use crate::Capabilities;

/// A profile that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile(Document);

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
#[error("seccomp profile: {0}")]
pub struct ProfileError(String);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// `SECCOMP_RET_*` of `linux/seccomp.h`.
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERROR: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// A system call has no more arguments.
const ARGUMENTS: u32 = 6;

/// The largest number that an error can be (`MAX_ERRNO`).
const LARGEST_ERROR: u32 = 4095;

impl Profile {
    /// Reads a profile and checks all of it.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let document: Document =
            serde_json::from_str(text).map_err(|error| ProfileError(error.to_string()))?;
        let profile = Self(document);
        profile.compile(HOST, Capabilities::NONE, &kernel())?;
        Ok(profile)
    }

    /// The program for a process that may hold these capabilities, as the kernel reads it.
    pub(crate) fn program(&self, capabilities: Capabilities) -> Result<Vec<u8>, ProfileError> {
        let program = self.compile(HOST, capabilities, &kernel())?;
        Ok(compile::bytes(&program))
    }

    pub(super) fn compile(
        &self,
        architecture: Architecture,
        capabilities: Capabilities,
        kernel: &str,
    ) -> Result<Vec<Instruction>, ProfileError> {
        let default = action(&self.0.default_action, self.0.default_errno_ret)?;
        let mut chosen = Vec::new();
        for rule in self.0.syscalls.iter().flatten() {
            let applies = rule
                .includes
                .as_ref()
                .is_none_or(|filter| filter.all_hold(architecture, capabilities, kernel))
                && !rule
                    .excludes
                    .as_ref()
                    .is_some_and(|filter| filter.any_holds(architecture, capabilities, kernel));
            // Also what does not apply here has to be understood.
            let (alternatives, then) =
                (rule.alternatives()?, action(&rule.action, rule.errno_ret)?);
            if applies {
                let names: Vec<&str> = rule
                    .names
                    .iter()
                    .flatten()
                    .chain(&rule.name)
                    .map(String::as_str)
                    .collect();
                chosen.push((names, alternatives, then));
            }
        }
        let code = |name: &str| {
            let rules = chosen.iter().filter(|(names, _, _)| names.contains(&name));
            let mut code = Vec::new();
            for (_, alternatives, then) in rules.clone() {
                if alternatives.is_empty() {
                    return vec![*then];
                }
                for conditions in alternatives {
                    code.extend(rule(conditions, *then));
                }
            }
            code.push(default);
            code
        };
        let calls: Vec<_> = architecture
            .calls
            .iter()
            .map(|(number, name)| (*number, code(name)))
            .collect();
        let unknown = if matches!(default.value, ALLOW | LOG) {
            default
        } else {
            compile::error(libc::ENOSYS)
        };
        compile::assemble(architecture.audit, &calls, unknown)
            .ok_or_else(|| ProfileError("it is too large for the kernel".to_owned()))
    }
}

impl Rule {
    /// Sets of conditions, one of which has to hold; none if there are no conditions.
    fn alternatives(&self) -> Result<Vec<Vec<Condition>>, ProfileError> {
        let conditions: Vec<Condition> = self
            .args
            .iter()
            .flatten()
            .map(Argument::condition)
            .collect::<Result<_, _>>()?;
        let twice = conditions.iter().enumerate().any(|(at, one)| {
            conditions[..at]
                .iter()
                .any(|other| other.argument == one.argument)
        });
        Ok(match (conditions.is_empty(), twice) {
            (true, _) => Vec::new(),
            (false, true) => conditions.into_iter().map(|one| vec![one]).collect(),
            (false, false) => vec![conditions],
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, ProfileError> {
        if self.index >= ARGUMENTS {
            return Err(ProfileError(format!(
                "a system call has no argument {}",
                self.index
            )));
        }
        let (comparison, value) = match self.op.as_str() {
            "SCMP_CMP_NE" => (Comparison::NotEqual, self.value),
            "SCMP_CMP_LT" => (Comparison::Less, self.value),
            "SCMP_CMP_LE" => (Comparison::LessOrEqual, self.value),
            "SCMP_CMP_EQ" => (Comparison::Equal, self.value),
            "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, self.value),
            "SCMP_CMP_GT" => (Comparison::Greater, self.value),
            "SCMP_CMP_MASKED_EQ" => (Comparison::MaskedEqual(self.value), self.value_two),
            other => return Err(ProfileError(format!("unknown comparison `{other}`"))),
        };
        Ok(Condition {
            argument: self.index,
            comparison,
            value,
        })
    }
}

impl Filter {
    fn all_hold(&self, architecture: Architecture, held: Capabilities, kernel: &str) -> bool {
        let caps = self.caps.iter().flatten().all(|name| holds(held, name));
        let arches = self.arches.as_ref().is_none_or(|arches| {
            arches.is_empty() || arches.iter().any(|name| name == architecture.docker)
        });
        caps && arches && self.is_new_enough(kernel).unwrap_or(true)
    }

    fn any_holds(&self, architecture: Architecture, held: Capabilities, kernel: &str) -> bool {
        let caps = self.caps.iter().flatten().any(|name| holds(held, name));
        let arches = self
            .arches
            .iter()
            .flatten()
            .any(|name| name == architecture.docker);
        caps || arches || self.is_new_enough(kernel).unwrap_or(false)
    }

    /// Whether the kernel is as new as asked for; nothing if that is not asked.
    fn is_new_enough(&self, kernel: &str) -> Option<bool> {
        let asked = self
            .min_kernel
            .as_deref()
            .filter(|asked| !asked.is_empty())?;
        Some(version(kernel) >= version(asked))
    }
}

fn holds(held: Capabilities, name: &str) -> bool {
    Capabilities::named(name).is_some_and(|capability| held.contains(capability))
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

fn kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn action(name: &str, errno: Option<u32>) -> Result<Instruction, ProfileError> {
    let errno = errno.unwrap_or(libc::EPERM as u32);
    if errno > LARGEST_ERROR {
        return Err(ProfileError(format!("{errno} is no error number")));
    }
    let value = match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_ERRNO" => ERROR | errno,
        "SCMP_ACT_TRACE" => TRACE | errno,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_ALLOW" => ALLOW,
        other => return Err(ProfileError(format!("unknown action `{other}`"))),
    };
    Ok(compile::answer(value))
}

#[cfg(test)]
mod tests {
    use super::super::interpret::{Call, Verdict, run};
    use super::super::{AARCH64, X86_64};
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"name": "chdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
            {"names": ["lseek"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 1, "value": 4294967296, "op": "SCMP_CMP_GE"},
                {"index": 2, "value": 1, "op": "SCMP_CMP_NE"}]},
            {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["umount2"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}}
        ]
    }"#;

    fn verdict(
        architecture: Architecture,
        capabilities: Capabilities,
        kernel: &str,
        name: &str,
        arguments: [u64; 3],
    ) -> Verdict {
        let profile = Profile::parse(PROFILE).expect("a profile");
        let program = profile
            .compile(architecture, capabilities, kernel)
            .expect("a program");
        let (number, _) = architecture
            .calls
            .iter()
            .find(|(_, known)| *known == name)
            .expect("a call");
        let [one, two, three] = arguments;
        run(
            &program,
            &Call {
                number: *number,
                architecture: architecture.audit,
                arguments: [one, two, three, 0, 0, 0],
            },
        )
    }

    #[test]
    fn rules_mean_what_docker_means() {
        const BIG: u64 = 1 << 32;
        let check = |name, arguments, expected| {
            let found = verdict(X86_64, Capabilities::NONE, "6.1.0", name, arguments);
            assert_eq!(found, expected, "{name} {arguments:x?}");
        };
        let (allow, default) = (Verdict::Allow, Verdict::Error(13));
        check("read", [0; 3], allow);
        check("open", [0; 3], default);
        check("chdir", [0; 3], Verdict::Error(5));
        check("lseek", [0, BIG, 0], allow);
        check("lseek", [0, BIG + 7, 2], allow);
        check("lseek", [0, 3 * BIG, BIG + 1], allow);
        check("lseek", [0, BIG, 1], default);
        check("lseek", [0, BIG - 1, 0], default);
        check("ioctl", [0, 1, 0], allow);
        check("ioctl", [0, 2, 0], allow);
        check("ioctl", [0, 3, 0], default);
        check("ioctl", [0, BIG + 1, 0], default);
        check("clone", [0x11, 0, 0], allow);
        check("clone", [0x1000_0011, 0, 0], default);
        check("mount", [0; 3], default);
        check("umount2", [0; 3], allow);
        check("ptrace", [0; 3], allow);
        check("kcmp", [0; 3], default);
        let other =
            |capabilities, kernel, name| verdict(X86_64, capabilities, kernel, name, [0; 3]);
        assert_eq!(other(Capabilities::ALL, "6.1.0", "mount"), allow);
        assert_eq!(other(Capabilities::ALL, "6.1.0", "umount2"), default);
        assert_eq!(other(Capabilities::NONE, "4.4.0-x", "ptrace"), default);
        let arm = verdict(AARCH64, Capabilities::NONE, "6.1.0", "kcmp", [0; 3]);
        assert_eq!(arm, allow);
    }

    #[test]
    fn every_comparison_is_right_around_its_value() {
        let values = [
            0,
            1,
            5,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 5,
            u64::MAX - 1,
            u64::MAX,
        ];
        for value in values {
            for (op, holds) in [
                ("NE", (|a, b| a != b) as fn(u64, u64) -> bool),
                ("LT", |a, b| a < b),
                ("LE", |a, b| a <= b),
                ("EQ", |a, b| a == b),
                ("GE", |a, b| a >= b),
                ("GT", |a, b| a > b),
            ] {
                let text = format!(
                    r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_ALLOW",
                    "args": [{{"index": 3, "value": {value}, "op": "SCMP_CMP_{op}"}}]}}]}}"#
                );
                let program = Profile::parse(&text)
                    .expect("a profile")
                    .compile(X86_64, Capabilities::NONE, "6.1")
                    .expect("a program");
                for argument in values {
                    let call = Call {
                        number: 0,
                        architecture: X86_64.audit,
                        arguments: [0, 0, 0, argument, 0, 0],
                    };
                    let expected = if holds(argument, value) {
                        Verdict::Allow
                    } else {
                        Verdict::Error(1)
                    };
                    assert_eq!(
                        run(&program, &call),
                        expected,
                        "{argument:x} {op} {value:x}"
                    );
                }
            }
        }
    }

    #[test]
    fn unknown_numbers_and_machines_are_not_there() {
        let program = Profile::parse(PROFILE)
            .expect("a profile")
            .compile(X86_64, Capabilities::NONE, "6.1")
            .expect("a program");
        for (number, architecture) in [
            (700, X86_64.audit),
            (0x4000_0000, X86_64.audit),
            (3, 0x4000_0003),
        ] {
            let call = Call {
                number,
                architecture,
                arguments: [0; 6],
            };
            assert_eq!(run(&program, &call), Verdict::Error(libc::ENOSYS));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("{", "EOF"),
            (r#"{"defaultAction": "ALLOW"}"#, "unknown action `ALLOW`"),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
                "no argument 6",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}"#,
                "unknown action `SCMP_ACT_NOTIFY`",
            ),
        ] {
            let error = Profile::parse(text).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
