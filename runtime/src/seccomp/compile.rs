//! Compiles rules into a classic BPF program: the numbers as ranges in a balanced tree, argument checks at its leaves.
//!
//! A chain of one comparison per call, as libseccomp makes it, takes several times as long to load and check.

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It is made.
    Allow,
    /// It fails with this error.
    Fail(i32),
    /// It depends on its arguments; refused with `EPERM`.
    Check(Check),
}

/// A condition on arguments. All of these arguments are 32 bits wide in the kernel, whatever the upper half of the
/// register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// None of these bits is set.
    NoneOf { argument: u32, bits: u32 },
    /// It is one of these values.
    OneOf {
        argument: u32,
        values: &'static [u32],
    },
    /// A socket of a family and protocol that is not refused.
    Socket,
}

/// Address families that are refused: AX.25, NET/ROM, X.25, ROSE, key management, RxRPC, kernel crypto, virtual machines.
pub(super) const REFUSED_FAMILIES: &[u32] = &[3, 6, 9, 11, 15, 33, 38, 40];
/// `AF_NETLINK`, whose protocol `NETLINK_XFRM` is refused.
pub(super) const NETLINK: u32 = 16;
/// `NETLINK_XFRM`: IPsec.
pub(super) const XFRM: u32 = 6;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_BELOW: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data` (`linux/seccomp.h`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

pub(super) const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ASK: u32 = 0x7fc0_0000;
const RETURN_ERROR: u32 = 0x0005_0000;

/// One instruction (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u16,
    pub yes: u8,
    pub no: u8,
    pub value: u32,
}

/// The program for one architecture. `calls` are in order of number; numbers that are not among them, and calls of any
/// other architecture, fail with `ENOSYS`, so that programs fall back to what they know.
pub(super) fn program(architecture: u32, calls: &[(u32, Action)]) -> Vec<Instruction> {
    let code = |(number, action): &(u32, Action)| {
        let mut code = Vec::new();
        leaf(*action, &mut code);
        (*number, code)
    };
    let calls: Vec<_> = calls.iter().map(code).collect();
    // The rules are ours and far from the limit.
    assemble(architecture, &calls, error(libc::ENOSYS)).unwrap_or_default()
}

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// The same from code for each call, and for numbers that are not among them; nothing if the kernel would not take it.
pub(super) fn assemble(
    architecture: u32,
    calls: &[(u32, Vec<Instruction>)],
    unknown: Instruction,
) -> Option<Vec<Instruction>> {
    let mut out = vec![
        statement(LOAD, ARCHITECTURE),
        branch(JUMP_EQUAL, architecture, 1, 0),
        error(libc::ENOSYS),
        statement(LOAD, NUMBER),
    ];
    tree(&ranges(calls, &[unknown]), &mut out);
    (out.len() <= LONGEST).then_some(out)
}

/// A program that lets everything through but one call, or that call with one value of its second argument.
pub(super) fn failing(number: u32, second: Option<u32>, errno: i32) -> Vec<Instruction> {
    let mut out = vec![
        statement(LOAD, NUMBER),
        branch(JUMP_EQUAL, number, 1, 0),
        allow(),
    ];
    if let Some(value) = second {
        out.extend([
            statement(LOAD, ARGUMENTS + 8),
            branch(JUMP_EQUAL, value, 1, 0),
            allow(),
        ]);
    }
    out.push(error(errno));
    out
}

/// Asks about a call, or with an argument and bits only if that argument has one of them.
pub(super) fn ask(condition: Option<(u32, u32)>) -> Vec<Instruction> {
    match condition {
        None => vec![statement(RETURN, RETURN_ASK)],
        Some((argument, bits)) => vec![
            statement(LOAD, ARGUMENTS + 8 * argument),
            branch(JUMP_ANY_BIT, bits, 0, 1),
            statement(RETURN, RETURN_ASK),
            allow(),
        ],
    }
}

/// Instructions as the kernel reads them.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let encode = |instruction: &Instruction| {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&instruction.code.to_ne_bytes());
        bytes[2] = instruction.yes;
        bytes[3] = instruction.no;
        bytes[4..].copy_from_slice(&instruction.value.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(encode).collect()
}

/// First numbers of ranges with the same code, from zero to infinity.
fn ranges<'a>(
    calls: &'a [(u32, Vec<Instruction>)],
    unknown: &'a [Instruction],
) -> Vec<(u32, &'a [Instruction])> {
    let mut ranges: Vec<(u32, &[Instruction])> = vec![(0, unknown)];
    let mut add = |from: u32, code: &'a [Instruction]| match ranges.last_mut() {
        Some(last) if last.1 == code => {}
        Some(last) if last.0 == from => last.1 = code,
        _ => ranges.push((from, code)),
    };
    let mut next = 0;
    for (number, code) in calls {
        if *number > next {
            add(next, unknown);
        }
        add(*number, code);
        next = number + 1;
    }
    add(next, unknown);
    ranges
}

fn tree(ranges: &[(u32, &[Instruction])], out: &mut Vec<Instruction>) {
    if let [(_, code)] = ranges {
        return out.extend_from_slice(code);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let mut low_code = Vec::new();
    tree(low, &mut low_code);
    let pivot = high.first().map_or(0, |range| range.0);
    match u8::try_from(low_code.len()) {
        Ok(distance) => out.push(branch(JUMP_NOT_BELOW, pivot, distance, 0)),
        Err(_) => {
            // Conditional jumps reach 255 instructions; this one reaches any.
            out.push(branch(JUMP_NOT_BELOW, pivot, 0, 1));
            out.push(statement(JUMP, low_code.len() as u32));
        }
    }
    out.append(&mut low_code);
    tree(high, out);
}

fn leaf(action: Action, out: &mut Vec<Instruction>) {
    match action {
        Action::Allow => out.push(allow()),
        Action::Fail(errno) => out.push(error(errno)),
        Action::Check(Check::NoneOf { argument, bits }) => out.extend([
            statement(LOAD, ARGUMENTS + 8 * argument),
            branch(JUMP_ANY_BIT, bits, 0, 1),
            error(libc::EPERM),
            allow(),
        ]),
        Action::Check(Check::OneOf { argument, values }) => {
            out.push(statement(LOAD, ARGUMENTS + 8 * argument));
            for (index, value) in values.iter().enumerate() {
                out.push(branch(JUMP_EQUAL, *value, (values.len() - index) as u8, 0));
            }
            out.extend([error(libc::EPERM), allow()]);
        }
        Action::Check(Check::Socket) => socket(out),
    }
}

fn socket(out: &mut Vec<Instruction>) {
    out.push(statement(LOAD, ARGUMENTS));
    let count = REFUSED_FAMILIES.len();
    for (index, family) in REFUSED_FAMILIES.iter().enumerate() {
        // To the refusal, past the other families and the four instructions for netlink.
        out.push(branch(
            JUMP_EQUAL,
            *family,
            (count - 1 - index + 4) as u8,
            0,
        ));
    }
    out.extend([
        branch(JUMP_EQUAL, NETLINK, 0, 2),
        statement(LOAD, ARGUMENTS + 16),
        branch(JUMP_EQUAL, XFRM, 1, 0),
        allow(),
        error(libc::EPERM),
    ]);
}

pub(super) fn statement(code: u16, value: u32) -> Instruction {
    Instruction {
        code,
        yes: 0,
        no: 0,
        value,
    }
}

pub(super) fn branch(code: u16, value: u32, yes: u8, no: u8) -> Instruction {
    Instruction {
        code,
        yes,
        no,
        value,
    }
}

fn allow() -> Instruction {
    statement(RETURN, RETURN_ALLOW)
}

/// Ends the program with this answer (`SECCOMP_RET_*`).
pub(super) fn answer(value: u32) -> Instruction {
    statement(RETURN, value)
}

pub(super) fn error(errno: i32) -> Instruction {
    statement(RETURN, RETURN_ERROR | errno as u32)
}
