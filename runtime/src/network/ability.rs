//! Whether this machine and user can have bridges, tried out in a namespace that nobody sees.

use super::bridge::Kernel;
use super::error::{Context, Error, Result};
use super::namespace::in_thread;
use super::rules::chains;
use crate::sys;

/// What containers and steps need of the kernel for networks of their own; otherwise what is missing.
pub fn ability() -> Result<(), String> {
    let tried = in_thread(|| {
        if crate::probe::in_user_namespace() || !rustix::process::geteuid().is_root() {
            return Err(Error::Unavailable("bridges need root".to_owned()));
        }
        sys::process::unshare(libc::CLONE_NEWNET)
            .map_err(|_| Error::Unavailable("CAP_SYS_ADMIN is missing".to_owned()))?;
        let mut kernel = Kernel::open()?;
        kernel
            .route
            .add_bridge("kiln0", "")
            .context(|| "making a bridge".to_owned())?;
        let subnet = ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 88, 0, 0), 24);
        let rules = chains("kiln0", &[subnet.into()], false, &[]);
        kernel.table.replace(&rules).context(|| {
            "writing nf_tables rules (5.2 can translate addresses in `inet` tables)".to_owned()
        })
    });
    tried.map_err(|error| error.to_string())
}
