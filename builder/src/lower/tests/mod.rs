//! Dockerfiles against the graphs they become. Base images are scripted.

mod configs;
mod failures;
mod steps;

use std::sync::Arc;

use kiln_store::{Digest, ImageConfig, ImageId, Platform};

use super::{Base, Bases, Lowered, lower};
use crate::graph::{CopyOp, Op, RunOp, Stage};
use crate::request::BuildRequest;

/// Knows `debian` with a user, a shell and an environment, and `onbuild` with triggers.
struct Scripted;

impl Bases for Scripted {
    fn base(&self, name: &str, platform: &Platform) -> Result<Arc<Base>, String> {
        let mut config = ImageConfig::new(platform);
        config.created = Some("2020-01-01T00:00:00Z".to_owned());
        match name {
            "debian" | "debian:12" => {
                config.config.env = vec!["LANG=C".to_owned(), "PATH=/bin".to_owned()];
                config.config.working_dir = "/srv".to_owned();
                config.config.cmd = Some(vec!["bash".to_owned()]);
            }
            "bare" => {}
            "onbuild" => {
                config.config.on_build =
                    vec!["COPY --from=helper /x /y".to_owned(), "RUN make".to_owned()];
            }
            "badtrigger" => config.config.on_build = vec!["RUN --nope x".to_owned()],
            _ => return Err(format!("docker.io/library/{name}: not found")),
        }
        config.rootfs.diff_ids = vec![Digest::sha256(name.as_bytes()).into()];
        Ok(Arc::new(Base {
            id: ImageId(Digest::sha256(b"config")),
            manifest: Digest::sha256(b"manifest"),
            config,
            layers: Vec::new(),
        }))
    }
}

fn request(dockerfile: &str) -> BuildRequest {
    let mut request = BuildRequest::new(dockerfile);
    request.platform = Some(Platform::new("linux", "amd64", None));
    request
}

fn try_lower(request: &BuildRequest) -> Result<Lowered, String> {
    let file = kiln_grammar::parse(&request.dockerfile)
        .into_result()
        .map_err(|faults| faults[0].message.clone())?;
    lower(
        &file,
        request,
        &[("http_proxy".to_owned(), "http://proxy".to_owned())],
        &Scripted,
    )
    .map_err(|faults| faults[0].message.clone())
}

fn lowered(dockerfile: &str) -> Lowered {
    lowered_with(dockerfile, |_| {})
}

fn lowered_with(dockerfile: &str, change: impl Fn(&mut BuildRequest)) -> Lowered {
    let mut request = request(dockerfile);
    change(&mut request);
    try_lower(&request).unwrap_or_else(|message| panic!("{message}\n{dockerfile}"))
}

impl Lowered {
    fn stage(&self) -> &Stage {
        self.graph.results().next().expect("there is a target")
    }

    fn names(&self) -> Vec<&str> {
        self.graph
            .vertices
            .iter()
            .map(|vertex| vertex.origin.name.as_str())
            .collect()
    }

    fn history(&self) -> Vec<&str> {
        self.stage()
            .history
            .iter()
            .map(|entry| entry.created_by.as_str())
            .collect()
    }

    fn runs(&self) -> Vec<&RunOp> {
        self.graph
            .vertices
            .iter()
            .filter_map(|vertex| match &vertex.op {
                Op::Run(run) => Some(&**run),
                _ => None,
            })
            .collect()
    }

    fn copies(&self) -> Vec<&CopyOp> {
        self.graph
            .vertices
            .iter()
            .filter_map(|vertex| match &vertex.op {
                Op::Copy(copy) => Some(&**copy),
                _ => None,
            })
            .collect()
    }
}

fn variable<'a>(run: &'a RunOp, name: &str) -> Option<&'a str> {
    run.env
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
