//! Plans of typical specs, as text.

use std::fs::File;
use std::os::fd::OwnedFd;

use super::{Operation, Plan, Site, container};
use crate::wire::{Bytes, Wire};
use crate::{
    LaunchError, Mount, MountSource, Network, Process, Propagation, Security, Spec, Stdio,
};

fn site() -> Site {
    Site {
        store_root: "/var/lib/kiln".into(),
        user_xattrs: false,
        throttled_processors: 1,
        single_id: false,
        own_cgroup: true,
    }
}

fn spec() -> Spec {
    let process = Process::new(
        vec![b"sh".to_vec(), b"-c".to_vec(), b"true".to_vec()],
        vec![b"PATH=/bin:/usr/bin".to_vec()],
    );
    let below = |name: &str| format!("/var/lib/kiln/{name}").into();
    Spec::new(
        vec![below("layers/a/fs"), below("layers/b/fs")],
        below("tmp/s/fs"),
        below("tmp/s/work"),
        process,
    )
}

fn plan(spec: &Spec) -> Result<Plan, LaunchError> {
    let null = || -> OwnedFd { File::open("/dev/null").expect("the null device").into() };
    let stdio = Stdio::Files {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    container(&site(), spec, stdio).map(|prepared| prepared.plan)
}

/// The plan in words; the filter is tested where it is made.
fn text(mut plan: Plan) -> String {
    for operation in &mut plan.operations {
        if let Operation::Filter { program } = operation {
            *program = Bytes(b"...".to_vec());
        }
    }
    let operations: Vec<String> = plan
        .operations
        .iter()
        .map(|operation| format!("{operation:?}"))
        .collect();
    format!(
        "namespaces {:x}\n{}\n{:?}",
        plan.namespaces,
        operations.join("\n"),
        plan.program
    )
}

#[test]
fn a_build_step() {
    let mut spec = spec();
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    insta::assert_snapshot!(text(plan(&spec).expect("a plan")));
}

#[test]
fn a_container_with_mounts_and_its_own_network() {
    let mut spec = spec();
    spec.volatile = false;
    spec.read_only_root = true;
    spec.network = Network::None;
    spec.process.user.uid = 1000;
    spec.process.no_new_privileges = true;
    let mount = |target: &str, source| Mount {
        target: target.into(),
        source,
        read_only: true,
        no_exec: true,
        propagation: Propagation::Slave,
    };
    spec.mounts = vec![
        mount(
            "/a/b/c",
            MountSource::Tmpfs {
                size: Some(4096),
                mode: 0o700,
                owner: (3, 4),
            },
        ),
        mount("/a", MountSource::Store("/var/lib/kiln/volumes/v".into())),
        mount("/etc/hosts", MountSource::Content(b"own\n".to_vec())),
    ];
    insta::assert_snapshot!(text(plan(&spec).expect("a plan")));
}

#[test]
fn an_insecure_step() {
    let mut spec = spec();
    spec.security = Security::Insecure;
    insta::assert_snapshot!(text(plan(&spec).expect("a plan")));
}

#[test]
fn plans_survive_the_wire() {
    let plan = plan(&spec()).expect("a plan");
    assert_eq!(Plan::decode(&plan.encode()), Some(plan));
}

#[test]
fn specs_that_cannot_run_are_refused() {
    let refused = |change: &dyn Fn(&mut Spec), expected: &str| {
        let mut spec = spec();
        change(&mut spec);
        let error = plan(&spec).expect_err("a refusal").to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(&|spec| spec.lowers.clear(), "at least one layer");
    refused(&|spec| spec.upper = "/etc".into(), "not below the store");
    refused(
        &|spec| spec.upper = "/var/lib/kiln/../x".into(),
        "not below the store",
    );
    refused(&|spec| spec.hostname = "x".repeat(65), "64 bytes");
    refused(&|spec| spec.process.argv.clear(), "no program");
    refused(
        &|spec| spec.process.cwd = b"relative".to_vec(),
        "not an absolute path",
    );
    refused(&|spec| spec.process.env.push(b"A=\0".to_vec()), "zero byte");
}
