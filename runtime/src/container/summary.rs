//! What `ps` shows of a container, in docker's words.

use std::os::fd::AsFd;

use super::archive;
use super::config::Config;
use super::containers::Container;
use super::error::{Context, Result};
use super::ports::{BoundPort, ContainerPort};
use super::quantity::human_duration;
use super::state::{HealthStatus, Moment, State, Status};

impl Container {
    /// `Up 5 minutes`, `Exited (0) 2 hours ago`, `Created`.
    pub fn status_text(&self, state: &State, now: Moment) -> String {
        let since = |time: Option<Moment>| {
            human_duration(time.map_or(0, |time| now.0.saturating_sub(time.0) / 1_000_000_000))
        };
        match state.status {
            Status::Created => "Created".to_owned(),
            Status::Running if state.restarting => format!(
                "Restarting ({}) {} ago",
                state.shown_exit_code(),
                since(state.finished)
            ),
            Status::Running => {
                let health = match &state.health {
                    _ if state.paused => " (Paused)".to_owned(),
                    None => String::new(),
                    Some(health) if health.status == HealthStatus::Starting => {
                        " (health: starting)".to_owned()
                    }
                    Some(health) => format!(" ({})", health.status.word()),
                };
                format!("Up {}{health}", since(state.started))
            }
            Status::Exited => format!(
                "Exited ({}) {} ago",
                state.shown_exit_code(),
                since(state.finished)
            ),
        }
    }

    /// `0.0.0.0:8080->80/tcp, 443/tcp` while it runs.
    pub fn ports_text(&self, state: &State) -> String {
        if state.status == Status::Running {
            ports_text(&self.config, &state.ports)
        } else {
            String::new()
        }
    }

    /// Entry point and command in quotes, as `ps` shows them.
    pub fn command_text(&self) -> String {
        self.config.process.argv().join(" ")
    }

    /// Bytes that its writable layer takes.
    pub fn size(&self) -> Result<u64> {
        let upper = self.upper();
        let held =
            std::fs::File::open(&upper).context(|| format!("opening {}", upper.display()))?;
        Ok(archive::size(held.as_fd()))
    }

    /// Where a port of the container can be reached on the host.
    pub fn port_addresses(&self, port: ContainerPort) -> Result<Vec<BoundPort>> {
        Ok(self
            .state()?
            .ports
            .into_iter()
            .filter(|bound| bound.container == port)
            .collect())
    }
}

fn ports_text(config: &Config, bound: &[BoundPort]) -> String {
    let published = bound
        .iter()
        .map(|bound| format!("{}->{}", bound.host, bound.container));
    let exposed = config
        .exposed_ports
        .iter()
        .filter(|port| !bound.iter().any(|bound| bound.container == **port))
        .map(ToString::to_string);
    published.chain(exposed).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::tests::sample;

    #[test]
    fn ports_as_docker_shows_them() {
        let mut config = sample();
        config.exposed_ports = vec!["80/tcp".parse().unwrap(), "53/udp".parse().unwrap()];
        let bound = [
            BoundPort {
                host: "0.0.0.0:8080".parse().unwrap(),
                container: "80".parse().unwrap(),
            },
            BoundPort {
                host: "[::]:8080".parse().unwrap(),
                container: "80".parse().unwrap(),
            },
        ];
        assert_eq!(
            ports_text(&config, &bound),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 53/udp"
        );
    }
}
