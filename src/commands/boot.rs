//! `kiln boot`: containers that are to run whenever this machine does.

use kiln_runtime::container::{Attach, Containers, Status};

use super::run::start;
use crate::cli::BootArgs;
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Starts the containers whose restart policy says so, or prints the unit that has systemd do it.
pub fn run(args: &BootArgs, settings: &Settings) -> Result<u8, CommandError> {
    if args.unit {
        output::data(&unit(settings)?)?;
        return Ok(0);
    }
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let mut code = 0;
    for container in containers.list()? {
        let state = container.state()?;
        let policy = container.config().restart;
        if state.status == Status::Running
            || state.started.is_none()
            || !policy.at_boot(state.stopped_by_user)
        {
            continue;
        }
        match start(&host, &containers, &container, Attach::default()) {
            Ok(_) => output::data(&format!("{}\n", container.name()))?,
            Err(error) => {
                // The others are started all the same.
                let _ = error.report();
                code = 1;
            }
        }
    }
    Ok(code)
}

/// A unit for systemd: the system's for root, the user's otherwise.
fn unit(settings: &Settings) -> Result<String, CommandError> {
    let binary = std::env::current_exe()?;
    let (after, wanted) = if settings.is_root {
        (
            "After=network-online.target\nWants=network-online.target\n",
            "multi-user.target",
        )
    } else {
        ("", "default.target")
    };
    Ok(format!(
        "[Unit]\nDescription=Containers of kiln that run always\n{after}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nKillMode=none\nDelegate=yes\nExecStart={} --root {} boot\n\n[Install]\nWantedBy={wanted}\n",
        binary.display(),
        settings.root.display(),
    ))
}
