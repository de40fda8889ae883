//! Conditions on arguments of custom profiles, compiled. Arguments are 64 bits wide, the machine's words 32.

use super::compile::{Instruction, branch, statement};

/// How an argument is compared (`SCMP_CMP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Other than the value.
    NotEqual,
    /// Below it.
    Less,
    /// Not above it.
    LessOrEqual,
    /// The value.
    Equal,
    /// Not below it.
    GreaterOrEqual,
    /// Above it.
    Greater,
    /// These bits of it are the value's.
    MaskedEqual(u64),
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument, from 0.
    pub argument: u32,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x25;
const JUMP_NOT_BELOW: u16 = 0x35;
/// Offset of the arguments in `struct seccomp_data`.
const ARGUMENTS: u32 = 16;

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    /// To the instruction after it.
    On,
    /// Past so many instructions.
    Skip(u8),
    /// To the end of the rule.
    Fail,
}

/// A comparison whose ways are not known as distances yet.
struct Step {
    code: u16,
    value: u32,
    ways: Option<(To, To)>,
}

/// The code of a rule: `then` runs if all conditions hold; otherwise control goes on behind it.
pub(super) fn rule(conditions: &[Condition], then: Instruction) -> Vec<Instruction> {
    let steps: Vec<Step> = conditions.iter().flat_map(compare).collect();
    let length = steps.len();
    let mut out: Vec<Instruction> = steps
        .into_iter()
        .enumerate()
        .map(|(at, step)| match step.ways {
            None => statement(step.code, step.value),
            Some((yes, no)) => {
                // Six conditions take less than fifty instructions: the distance fits.
                let distance = |to: To| match to {
                    To::On => 0,
                    To::Skip(count) => count,
                    To::Fail => u8::try_from(length - at).unwrap_or(u8::MAX),
                };
                branch(step.code, step.value, distance(yes), distance(no))
            }
        })
        .collect();
    out.push(then);
    out
}

fn compare(condition: &Condition) -> Vec<Step> {
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let low_half = ARGUMENTS + 8 * condition.argument;
    let load = |offset| Step {
        code: LOAD,
        value: offset,
        ways: None,
    };
    let mask = |bits| Step {
        code: AND,
        value: bits,
        ways: None,
    };
    let jump = |code, value, yes, no| Step {
        code,
        value,
        ways: Some((yes, no)),
    };
    use To::{Fail, On, Skip};
    match condition.comparison {
        Comparison::Equal => vec![
            load(low_half + 4),
            jump(JUMP_EQUAL, high, On, Fail),
            load(low_half),
            jump(JUMP_EQUAL, low, On, Fail),
        ],
        Comparison::NotEqual => vec![
            load(low_half + 4),
            jump(JUMP_EQUAL, high, On, Skip(2)),
            load(low_half),
            jump(JUMP_EQUAL, low, Fail, On),
        ],
        Comparison::GreaterOrEqual | Comparison::Greater => {
            let code = if condition.comparison == Comparison::Greater {
                JUMP_ABOVE
            } else {
                JUMP_NOT_BELOW
            };
            vec![
                load(low_half + 4),
                jump(JUMP_ABOVE, high, Skip(3), On),
                jump(JUMP_EQUAL, high, On, Fail),
                load(low_half),
                jump(code, low, On, Fail),
            ]
        }
        Comparison::Less | Comparison::LessOrEqual => {
            let code = if condition.comparison == Comparison::Less {
                JUMP_NOT_BELOW
            } else {
                JUMP_ABOVE
            };
            vec![
                load(low_half + 4),
                jump(JUMP_ABOVE, high, Fail, On),
                jump(JUMP_EQUAL, high, On, Skip(2)),
                load(low_half),
                jump(code, low, Fail, On),
            ]
        }
        Comparison::MaskedEqual(bits) => vec![
            load(low_half + 4),
            mask((bits >> 32) as u32),
            jump(JUMP_EQUAL, high, On, Fail),
            load(low_half),
            mask(bits as u32),
            jump(JUMP_EQUAL, low, On, Fail),
        ],
    }
}
