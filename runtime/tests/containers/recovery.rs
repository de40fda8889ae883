//! Monitors that die.

use std::process::Command;

use kiln_runtime::container::{Attach, Status};

use crate::Test;
use crate::support::{Context, exec};

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_monitor_is_noticed", killed),
    ("a_waiter_is_not_left_waiting", waiter),
];

fn kill(pid: i32) {
    assert!(
        Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn killed(context: &Context) {
    let container = context.detached(&context.shell("echo x > /kept; exec sleep 1000"));
    assert_eq!(exec(&container, "true").code(), 0);
    let state = container.state().unwrap();
    let init = state.init.unwrap();
    kill(state.monitor.unwrap().pid);
    let state = loop {
        let state = container.state().unwrap();
        if state.status != Status::Running {
            break state;
        }
        std::thread::yield_now();
    };
    assert_eq!(
        (state.status, state.exit_code, state.shown_exit_code()),
        (Status::Exited, None, 255)
    );
    assert!(
        state.error.contains("monitor ended unexpectedly"),
        "{}",
        state.error
    );
    if init.pidfd_inode.is_some() {
        while std::path::Path::new(&format!("/proc/{}", init.pid)).exists() {
            std::thread::yield_now();
        }
    }
    drop(context.start(&container, Attach::default()));
    assert_eq!(exec(&container, "cat /kept").stdout, "x\n");
}

fn waiter(context: &Context) {
    let container = context.detached(&context.shell("exec sleep 1000"));
    let follower = {
        let container = container.clone();
        let options = kiln_runtime::container::LogOptions {
            follow: true,
            ..Default::default()
        };
        std::thread::spawn(move || container.logs(&options, &mut |_| Ok(())))
    };
    let session = container.attach(Attach::OUTPUT).unwrap();
    kill(container.state().unwrap().monitor.unwrap().pid);
    assert!(session.wait().is_err());
    follower.join().unwrap().unwrap();
    assert_eq!(container.wait().unwrap(), 255);
}
