//! The table in the kernel: replacing a network's chains, looking whether they are as they were put there.

use rustix::io::Errno;

use super::Chain;
use super::encode::{self, FIELDS, TABLE};
use crate::network::netlink::{Attributes, Message, Socket};

/// A connection to the packet filter of one network namespace.
#[derive(Debug)]
pub(crate) struct Table {
    socket: Socket,
}

impl Table {
    /// Connects to the packet filter of this thread's namespace.
    pub(crate) fn open() -> Result<Self, Errno> {
        let socket = Socket::netfilter(0)?;
        Ok(Self { socket })
    }

    /// Puts these chains in place of those of the same names, in one transaction.
    pub(crate) fn replace(&mut self, chains: &[Chain]) -> Result<(), Errno> {
        let mut messages = vec![encode::begin(), encode::add_table()];
        for chain in chains {
            messages.push(encode::add_chain(chain));
            messages.push(encode::flush_chain(&chain.name));
            let rules = chain.rules.iter();
            messages.extend(rules.map(|rule| encode::add_rule(&chain.name, rule)));
        }
        self.commit(messages)
    }

    /// Whether none of these chains was removed or emptied. Their rules are not compared: another version of this program may
    /// have made them, and each would undo what the other did.
    pub(crate) fn is_in_place(&mut self, chains: &[Chain]) -> Result<bool, Errno> {
        let there = self.chains()?;
        for chain in chains {
            if !there.contains(&chain.name) {
                return Ok(false);
            }
            let rules = self.socket.ask(encode::list_rules(&chain.name))?;
            if rules.is_empty() && !chain.rules.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Names of the table's chains; none if there is no table.
    pub(crate) fn chains(&mut self) -> Result<Vec<String>, Errno> {
        let answers = self.socket.ask(encode::list_chains())?;
        let name = |payload: &[u8]| {
            let attributes = Attributes(payload.get(FIELDS..)?);
            let ours = attributes.text(encode::TABLE_NAME)? == TABLE;
            attributes.text(encode::CHAIN_NAME).filter(|_| ours)
        };
        Ok(answers
            .iter()
            .filter_map(|answer| name(&answer.payload))
            .collect())
    }

    /// Removes the chains of the network behind `bridge`.
    pub(crate) fn remove(&mut self, bridge: &str) -> Result<(), Errno> {
        let suffix = format!("-{bridge}");
        let there = self.chains()?;
        let gone: Vec<_> = there
            .iter()
            .filter(|name| name.ends_with(&suffix))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut messages = vec![encode::begin()];
        for name in gone {
            messages.push(encode::flush_chain(name));
            messages.push(encode::delete_chain(name));
        }
        self.commit(messages)
    }

    fn commit(&mut self, mut messages: Vec<Message>) -> Result<(), Errno> {
        messages.push(encode::end());
        self.socket.transact(messages).map_err(|(_, errno)| errno)
    }
}
