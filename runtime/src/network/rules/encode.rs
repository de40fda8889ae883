//! Chains and rules as messages of nf_tables.

use super::{Chain, Hook, Rule, expression};
use crate::network::netlink::{APPEND, CREATE, DUMP, Message};

/// The one table.
pub(crate) const TABLE: &str = "kiln";

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of kinds.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`
const BEGIN: u16 = 16;
const END: u16 = 17;
pub(crate) const NEW_TABLE: u16 = SUBSYSTEM;
pub(crate) const DELETE_TABLE: u16 = SUBSYSTEM | 2;
pub(crate) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
pub(crate) const GET_CHAIN: u16 = SUBSYSTEM | 4;
pub(crate) const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
pub(crate) const NEW_RULE: u16 = SUBSYSTEM | 6;
pub(crate) const GET_RULE: u16 = SUBSYSTEM | 7;
pub(crate) const DELETE_RULE: u16 = SUBSYSTEM | 8;

/// The attribute with the table's name, in tables, chains and rules alike.
pub(crate) const TABLE_NAME: u16 = 1;
pub(crate) const CHAIN_NAME: u16 = 3;
pub(crate) const RULE_CHAIN: u16 = 2;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const RULE_EXPRESSIONS: u16 = 4;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

/// Length of `struct nfgenmsg`, before the attributes.
pub(crate) const FIELDS: usize = 4;
/// `NFPROTO_INET`
const INET: u8 = 1;

/// Begins a transaction.
pub(super) fn begin() -> Message {
    frame(BEGIN)
}

/// Ends it.
pub(super) fn end() -> Message {
    frame(END)
}

fn frame(kind: u16) -> Message {
    let [high, low] = (SUBSYSTEM >> 8).to_be_bytes();
    Message::new(kind, 0).fields(&[0, 0, high, low])
}

fn message(kind: u16, flags: u16) -> Message {
    Message::new(kind, flags).fields(&[INET, 0, 0, 0])
}

/// Makes the table unless it is there.
pub(super) fn add_table() -> Message {
    let mut message = message(NEW_TABLE, CREATE);
    message.put_text(TABLE_NAME, TABLE);
    message
}

/// Makes a chain unless it is there.
pub(super) fn add_chain(chain: &Chain) -> Message {
    let (number, priority, kind): (u32, i32, &str) = match chain.hook {
        Hook::Prerouting => (0, -100, "nat"),
        Hook::Forward => (2, 0, "filter"),
        Hook::Output => (3, -100, "nat"),
        Hook::Postrouting => (4, 100, "nat"),
    };
    let mut message = message(NEW_CHAIN, CREATE);
    message.put_text(TABLE_NAME, TABLE);
    message.put_text(CHAIN_NAME, &chain.name);
    message.nest(CHAIN_HOOK, |hook| {
        hook.put_network(HOOK_NUMBER, number);
        hook.put_network(HOOK_PRIORITY, priority.cast_unsigned());
    });
    message.put_network(CHAIN_POLICY, 1);
    message.put_text(CHAIN_TYPE, kind);
    message
}

/// Empties a chain.
pub(super) fn flush_chain(name: &str) -> Message {
    let mut message = message(DELETE_RULE, 0);
    message.put_text(TABLE_NAME, TABLE);
    message.put_text(RULE_CHAIN, name);
    message
}

/// Removes an empty chain.
pub(super) fn delete_chain(name: &str) -> Message {
    let mut message = message(DELETE_CHAIN, 0);
    message.put_text(TABLE_NAME, TABLE);
    message.put_text(CHAIN_NAME, name);
    message
}

/// Appends a rule.
pub(super) fn add_rule(chain: &str, rule: &Rule) -> Message {
    let mut message = message(NEW_RULE, CREATE | APPEND);
    message.put_text(TABLE_NAME, TABLE);
    message.put_text(RULE_CHAIN, chain);
    message.nest(RULE_EXPRESSIONS, |list| expression::put(list, rule));
    message
}

/// Asks for all chains of the table.
pub(super) fn list_chains() -> Message {
    message(GET_CHAIN, DUMP)
}

/// Asks for the rules of a chain.
pub(super) fn list_rules(chain: &str) -> Message {
    let mut message = message(GET_RULE, DUMP);
    message.put_text(TABLE_NAME, TABLE);
    message.put_text(RULE_CHAIN, chain);
    message
}
