//! Runs a filter on one call, as the kernel would.

use super::compile::Instruction;

/// A system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub number: u32,
    pub architecture: u32,
    pub arguments: [u64; 6],
}

/// What a filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Error(i32),
}

/// Runs the program; panics where the kernel would not have loaded it.
pub(super) fn run(program: &[Instruction], call: &Call) -> Verdict {
    let mut data = Vec::new();
    data.extend_from_slice(&call.number.to_le_bytes());
    data.extend_from_slice(&call.architecture.to_le_bytes());
    data.extend_from_slice(&[0; 8]);
    for argument in call.arguments {
        data.extend_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let Instruction {
            code,
            yes,
            no,
            value,
        } = program[at];
        at += 1;
        let mut branch = |condition: bool| at += usize::from(if condition { yes } else { no });
        match code {
            0x20 => {
                let offset = value as usize;
                let bytes = data[offset..offset + 4].try_into().expect("four bytes");
                accumulator = u32::from_le_bytes(bytes);
            }
            0x05 => at += value as usize,
            0x54 => accumulator &= value,
            0x25 => branch(accumulator > value),
            0x15 => branch(accumulator == value),
            0x35 => branch(accumulator >= value),
            0x45 => branch(accumulator & value != 0),
            0x06 if value == 0x7fff_0000 => return Verdict::Allow,
            0x06 if value >> 16 == 5 => return Verdict::Error((value & 0xffff) as i32),
            _ => panic!("instruction {code:#x} {value:#x}"),
        }
    }
}
