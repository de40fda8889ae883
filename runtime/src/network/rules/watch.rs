//! Learning that rules of ours were removed by somebody else.

use std::os::fd::{AsFd, BorrowedFd};

use super::encode::{DELETE_CHAIN, DELETE_RULE, DELETE_TABLE, FIELDS, NEW_RULE, TABLE, TABLE_NAME};
use crate::network::error::{Context, Result};
use crate::network::netlink::{Answer, Attributes, Socket};

/// `NFNLGRP_NFTABLES`: every change of the packet rules.
const CHANGES: u32 = 1 << (7 - 1);
/// `NLMSG_ERROR`, which also stands for notices that were lost.
const LOST: u16 = 2;

/// A socket that becomes readable when somebody changes packet rules.
#[derive(Debug)]
pub(crate) struct RuleWatch {
    socket: Socket,
}

impl RuleWatch {
    /// Watches the rules of this thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let socket = Socket::netfilter(CHANGES);
        Ok(Self {
            socket: socket.context(|| "watching the packet rules".to_owned())?,
        })
    }

    /// Whether something of our table may have been removed since the last look. Who replaces a chain removes and adds rules in one
    /// go, which is no removal.
    pub(crate) fn saw_removal(&self) -> bool {
        let notices = self.socket.notices();
        let count = |kind: u16| {
            let of_kind = notices
                .iter()
                .filter(|one| one.kind == kind && is_ours(one));
            of_kind.count()
        };
        let lost = notices.iter().any(|notice| notice.kind == LOST);
        let emptied = count(DELETE_RULE) > 0 && count(NEW_RULE) == 0;
        lost || count(DELETE_TABLE) > 0 || count(DELETE_CHAIN) > 0 || emptied
    }
}

impl AsFd for RuleWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_ours(notice: &Answer) -> bool {
    let attributes = notice.payload.get(FIELDS..).map(Attributes);
    attributes.is_some_and(|found| found.text(TABLE_NAME).as_deref() == Some(TABLE))
}
