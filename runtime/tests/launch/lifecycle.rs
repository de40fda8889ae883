//! Ends of steps: killed, dropped, many at once, with their launcher; terminals; monitors and what they start.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_runtime::cgroup::{Cgroup, Hierarchy, Limits, Membership};
use kiln_runtime::{
    Exit, Join, Launcher, LauncherOptions, Network, Parent, Process, Seccomp, Security, Shared,
    Spec, Stdio, WindowSize,
};

use crate::steps::{null, output_of, run, shell};
use crate::{Context, Test};

pub(crate) const TESTS: &[Test] = &[
    ("killed_steps_say_so", killed),
    ("a_dropped_step_ends", dropped),
    ("steps_end_with_their_launcher", with_launcher),
    ("many_at_once", many),
    ("orphans_end_with_the_step", orphans),
    ("a_step_is_born_into_its_cgroup", cgroup),
    ("limits_hold", limits),
    ("a_terminal_is_complete", terminal),
    ("monitors_start_and_join", monitor),
    ("a_monitor_outlives_its_launcher", monitor_stays),
];

fn silent() -> Stdio {
    Stdio::Files {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    }
}

/// Whether a process has ended within a generous time.
fn ends(pidfd: impl AsFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(
        &pidfd,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::time::Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready == 1)
}

fn killed(context: &Context) {
    let child = context
        .launcher
        .spawn(&shell(context, "sleep 1000"), silent())
        .expect("a step");
    child.kill(9).expect("a signal");
    assert_eq!(child.wait().expect("an end"), Exit::Signal(9));
    let (result, _) = run(
        context,
        &shell(context, "sleep 1000 & kill -15 $!; wait $!"),
    );
    assert_eq!(result.expect("an end"), Exit::Code(143));
}

fn dropped(context: &Context) {
    let child = context
        .launcher
        .spawn(&shell(context, "sleep 1000"), silent())
        .expect("a step");
    let pidfd = child.pidfd().try_clone_to_owned().expect("a descriptor");
    drop(child);
    assert!(ends(pidfd));
}

fn with_launcher(context: &Context) {
    let options = LauncherOptions {
        store_root: context.store.root().to_owned(),
        user_xattrs: context.entered.user_xattrs(),
    };
    let launcher = Launcher::start(&options).expect("a launcher");
    let child = launcher
        .spawn(&shell(context, "sleep 1000"), silent())
        .expect("a step");
    let pidfd = child.pidfd().try_clone_to_owned().expect("a descriptor");
    drop(launcher);
    assert!(ends(pidfd));
    let error = child.wait();
    assert!(
        error.is_err() || matches!(error, Ok(Exit::Signal(9))),
        "{error:?}"
    );
}

fn many(context: &Context) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..25 {
                    let code = thread * 25 + number;
                    let (result, output) = run(
                        context,
                        &shell(context, &format!("echo {code}; exit {code}")),
                    );
                    assert_eq!(result.expect("an end"), Exit::Code(code));
                    assert_eq!(output, format!("{code}\n"));
                }
            });
        }
    });
}

fn orphans(context: &Context) {
    let started = Instant::now();
    assert_eq!(
        output_of(
            context,
            &shell(context, "sleep 1000 & (sleep 1000 &) ; echo done")
        ),
        "done\n"
    );
    assert!(started.elapsed() < Duration::from_secs(100));
}

/// A cgroup v2 directory takes the process at its birth, without any limit.
fn cgroup(context: &Context) {
    let name = format!("kiln-test-{}", std::process::id());
    let Some(path) = Hierarchy::read().own.map(|own| own.join(&name)) else {
        return println!("skipped: needs cgroup v2");
    };
    if let Err(error) = std::fs::create_dir(&path) {
        return println!("skipped: needs a cgroup v2 directory of its own ({error})");
    }
    let directory = File::open(&path).expect("the cgroup");
    let mut spec = shell(context, "cat /proc/self/cgroup; sleep 1000");
    spec.cgroup = Some(Membership::unified(Arc::new(directory.into())));
    let child = context.launcher.spawn(&spec, silent()).expect("a step");
    let found =
        std::fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).expect("its cgroup");
    assert!(found.contains(&name), "{found}");
    std::fs::write(path.join("cgroup.kill"), "1").expect("its end");
    assert_eq!(child.wait().expect("an end"), Exit::Signal(9));
    gone(|| std::fs::remove_dir(&path));
}

/// Limits hold, on whichever kind of host this is, and the process sees its cgroup as the root.
fn limits(context: &Context) {
    let limits = Limits {
        memory: Some(32 << 20),
        cpu_quota: Some(50_000),
        processes: Some(5),
        ..Limits::default()
    };
    let created = Cgroup::create(&format!("kiln-limits-{}", std::process::id()), &limits);
    let Some(group) = created.cgroup.filter(|_| created.unmet.is_empty()) else {
        let unmet: Vec<_> = created.unmet.iter().map(ToString::to_string).collect();
        return println!("skipped: needs controllers ({})", unmet.join("; "));
    };
    let in_it = |script: &str| {
        let mut spec = shell(context, script);
        spec.cgroup = Some(group.membership().expect("the cgroup"));
        run(context, &spec).1
    };
    let script = "for n in 1 2 3 4 5 6 7 8; do sleep 1000 & done 2>/dev/null; echo unlimited";
    assert_eq!(in_it(script), "", "more processes than allowed");
    assert!(!group.out_of_memory());
    let seen = in_it(
        "while IFS=: read -r number name path; do case $name in cpu|memory|pids) echo $path;; esac; done \
         < /proc/self/cgroup",
    );
    assert_eq!(seen, "/\n/\n/\n", "the process sees where its cgroup is");
    in_it("text=0123456789; while :; do text=$text$text; done");
    assert!(group.out_of_memory(), "memory has no limit");
    gone(|| group.remove());
}

/// The kernel lets go of a cgroup's directory a little after its last process.
fn gone(remove: impl Fn() -> std::io::Result<()>) {
    let started = Instant::now();
    while let Err(error) = remove() {
        let late = started.elapsed() > Duration::from_secs(20);
        assert!(!late, "the cgroup stays: {error}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn terminal(context: &Context) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let script = "tty; stat -c %t /dev/console; stty size 2>/dev/null; readlink /proc/self/fd/0; \
                  [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; read -r line; echo got $line";
    let stdio = Stdio::Terminal {
        socket: theirs.into(),
        size: WindowSize {
            rows: 33,
            columns: 99,
        },
    };
    let child = context
        .launcher
        .spawn(&shell(context, script), stdio)
        .expect("a step");
    let mut master = File::from(receive_descriptor(&ours.into()));
    let size = rustix::termios::tcgetwinsize(&master).expect("a size");
    assert_eq!((size.ws_row, size.ws_col), (33, 99));
    master.write_all(b"hello\n").expect("input");
    let mut output = Vec::new();
    // The end of a terminal is an error.
    let _ = master.read_to_end(&mut output);
    assert_eq!(child.wait().expect("an end"), Exit::Code(0));
    let output = String::from_utf8_lossy(&output).replace('\r', "");
    for expected in ["/dev/pts/0\n", "88\n", "terminal\n", "got hello\n"] {
        assert!(output.contains(expected), "{expected:?} in {output}");
    }
}

fn receive_descriptor(socket: &OwnedFd) -> OwnedFd {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [std::io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(
        socket,
        &mut data,
        &mut control,
        rustix::net::RecvFlags::CMSG_CLOEXEC,
    )
    .expect("a message");
    let message = control.drain().next().expect("a descriptor");
    let rustix::net::RecvAncillaryMessage::ScmRights(mut fds) = message else {
        panic!("no descriptor")
    };
    fds.next().expect("a descriptor")
}

/// The monitor of these tests: starts the container whose directories the request names, joins it, reports on its first
/// descriptor.
pub(crate) fn monitor_main(request: Vec<u8>, fds: Vec<OwnedFd>, mut parent: Parent) -> i32 {
    let text = String::from_utf8_lossy(&request).into_owned();
    let mut report = File::from(fds.into_iter().next().expect("a descriptor"));
    let result = supervise(&text, &report, &mut parent);
    let words = result.unwrap_or_else(|error| format!("error: {error}\n"));
    report.write_all(words.as_bytes()).expect("a report");
    0
}

fn supervise(
    request: &str,
    report: &File,
    parent: &mut Parent,
) -> Result<String, Box<dyn std::error::Error>> {
    let paths: Vec<&str> = request.lines().collect();
    let [base, upper, work] = paths.as_slice() else {
        return Err("three paths".into());
    };
    let path = |path: &str| std::path::PathBuf::from(Parent::STORE).join(path);
    let env = vec![b"PATH=/bin".to_vec()];
    let argv = |script: &str| vec![b"sh".to_vec(), b"-c".to_vec(), script.as_bytes().to_vec()];
    let init = Process::new(argv("sleep 1000; true"), env.clone());
    let mut spec = Spec::new(vec![path(base)], path(upper), path(work), init);
    spec.volatile = false;
    spec.network = Network::None;
    let output = || -> std::io::Result<Stdio> {
        Ok(Stdio::Files {
            stdin: null(),
            stdout: report.try_clone()?.into(),
            stderr: report.try_clone()?.into(),
        })
    };
    let mut container = parent.spawn(&spec, output()?)?;
    container.executed()?;
    let mut join = Join {
        process: Process::new(
            argv(
                "echo $$ > /tmp/pid; touch /joined; cat /proc/1/cmdline | head -c 5; grep -E 'CapPrm|Seccomp:' /proc/self/status; cat /proc/net/dev | grep -c :; exit 3",
            ),
            env,
        ),
        security: Security::Sandbox,
        seccomp: Seccomp::Default,
        network: Network::None,
        shared: Shared::default(),
        cgroup: None,
    };
    let end = |_: &kiln_runtime::LaunchError| {
        let _ = rustix::process::pidfd_send_signal(&container.pidfd, rustix::process::Signal::KILL);
    };
    let mut joined = parent
        .join(container.pidfd.as_fd(), &join, output()?)
        .inspect_err(end)?;
    joined.executed().inspect_err(end)?;
    let exit = joined.reap()?;
    join.process.argv = vec![b"/none".to_vec()];
    let missing = parent
        .join(container.pidfd.as_fd(), &join, output()?)?
        .executed();
    rustix::process::pidfd_send_signal(&container.pidfd, rustix::process::Signal::KILL)?;
    let end = container.reap()?;
    Ok(format!(
        "{exit:?} {end:?} {:?}\n",
        missing.map_err(|error| error.exit_code())
    ))
}

fn monitor_request(context: &Context) -> String {
    let (upper, work) = (context.store.fresh("upper"), context.store.fresh("work"));
    let name = |path: &std::path::Path| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    format!("base\n{}\n{}", name(&upper), name(&work))
}

fn monitor(context: &Context) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let request = monitor_request(context);
    let monitor = context
        .launcher
        .spawn_monitor(request.as_bytes(), &[writer.as_fd()])
        .expect("a monitor");
    drop(writer);
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("a report");
    assert!(ends(&monitor.pidfd));
    let expected = "sleepCapPrm:\t00000000a80425fb\nSeccomp:\t2\n1\nCode(3) Signal(9) Err(127)\n";
    let expected = expected.replace("sleep", "sh\0-c");
    assert_eq!(output, expected);
}

fn monitor_stays(context: &Context) {
    let options = LauncherOptions {
        store_root: context.store.root().to_owned(),
        user_xattrs: context.entered.user_xattrs(),
    };
    let launcher = Launcher::start(&options).expect("a launcher");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let request = monitor_request(context);
    let monitor = launcher
        .spawn_monitor(request.as_bytes(), &[writer.as_fd()])
        .expect("a monitor");
    drop((launcher, writer));
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("a report");
    assert!(output.contains("Code(3) Signal(9)"), "{output}");
    assert!(ends(&monitor.pidfd), "{}", monitor.pidfd.as_raw_fd());
}
