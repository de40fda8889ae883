//! From creation to removal.

use kiln_runtime::container::{Attach, CreateOptions, ExecOptions, Status};

use crate::Test;
use crate::support::{Context, exec, exec_options, finish, wait_for_log};

pub(crate) const TESTS: &[Test] = &[
    ("foreground_output_and_exit_code", foreground),
    ("rm_leaves_nothing", auto_remove),
    ("data_survive_stop_and_start", data),
    ("stop_kills_after_its_time", stubborn),
    ("stop_signal_of_the_image", stop_signal),
    ("exec_runs_inside", exec_inside),
    (
        "exec_signals_the_container_on_the_hosts_network",
        exec_signals,
    ),
    ("exec_fails_with_dockers_codes", exec_failures),
    ("missing_programs_have_dockers_codes", missing),
    ("wait_gives_the_exit_code", wait),
    ("a_running_container_is_not_removed", refuse_removal),
    (
        "a_removal_during_a_start_leaves_no_process",
        removal_during_start,
    ),
    ("names_and_prefixes", names),
    ("the_process_is_set_up_as_docker_does", setup),
    ("inspect_has_dockers_shape", inspect),
];

fn foreground(context: &Context) {
    let outcome = context.run(&context.shell("echo out; echo err >&2; exit 7"));
    assert_eq!(
        (
            outcome.code(),
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (7, "out\n", "err\n")
    );
    let container = &context.containers.list().unwrap()[0];
    let state = container.state().unwrap();
    assert_eq!((state.status, state.exit_code), (Status::Exited, Some(7)));
}

fn auto_remove(context: &Context) {
    let outcome = context.run(&CreateOptions {
        auto_remove: true,
        name: Some("gone".to_owned()),
        ..context.shell("echo x > /file; exit 3")
    });
    assert_eq!(outcome.code(), 3);
    assert!(context.containers.list().unwrap().is_empty());
    assert!(context.containers.find("gone").is_err());
    assert!(
        context
            .containers
            .volumes()
            .unwrap()
            .list()
            .unwrap()
            .is_empty(),
        "its anonymous volume"
    );
}

fn data(context: &Context) {
    let container = context.detached(&CreateOptions {
        name: Some("keeper".to_owned()),
        ..context.shell("echo started; exec sleep 1000")
    });
    assert_eq!(exec(&container, "echo one > /kept").code(), 0);
    assert_eq!(container.state().unwrap().status, Status::Running);
    container.stop(Some(0), None).unwrap();
    assert_eq!(container.state().unwrap().shown_exit_code(), 137);
    drop(context.start(&container, Attach::default()));
    assert_eq!(exec(&container, "cat /kept").stdout, "one\n");
    assert_eq!(context.store.pins().unwrap(), [container.id().to_string()]);
    container.remove(true, true).unwrap();
    assert_eq!(
        context.containers.find("keeper").unwrap_err().to_string(),
        "No such container: keeper"
    );
}

fn stubborn(context: &Context) {
    let container =
        context.detached(&context.shell("trap '' TERM; echo ready; while :; do sleep 1; done"));
    wait_for_log(&container, "ready");
    container.stop(Some(0), None).unwrap();
    let state = container.state().unwrap();
    assert_eq!(
        (state.status, state.exit_code, state.stopped_by_user),
        (Status::Exited, Some(137), true)
    );
    container.stop(None, None).unwrap();
}

fn stop_signal(context: &Context) {
    let options = CreateOptions {
        stop_signal: Some("USR1".to_owned()),
        ..context.shell("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done")
    };
    let container = context.detached(&options);
    wait_for_log(&container, "ready");
    container.stop(Some(-1), None).unwrap();
    assert_eq!(container.state().unwrap().exit_code, Some(9));
}

fn exec_inside(context: &Context) {
    let container = context.detached(&CreateOptions {
        env: vec!["A=1".to_owned()],
        ..context.shell("exec sleep 1000")
    });
    let outcome = exec(
        &container,
        "echo $A $FROM_IMAGE $HOME; echo err >&2; exit 5",
    );
    assert_eq!(
        (
            outcome.code(),
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (5, "1 yes /root\n", "err\n")
    );

    let options = ExecOptions {
        user: Some("www".to_owned()),
        workdir: Some("/www".to_owned()),
        env: vec!["A=2".to_owned()],
        ..exec_options("id -u; id -G; pwd; echo $A $HOME; hostname")
    };
    let hostname = container.id().short().to_owned();
    assert_eq!(
        finish(container.exec(&options).unwrap(), b"").stdout,
        format!("33\n33 44\n/www\n2 /www\n{hostname}\n")
    );

    let options = ExecOptions {
        open_stdin: true,
        ..exec_options("wc -c")
    };
    let input = vec![b'x'; 1 << 20];
    assert_eq!(
        finish(container.exec(&options).unwrap(), &input).stdout,
        format!("{}\n", 1 << 20)
    );

    let outcome = exec(&container, "seq 1 200000");
    assert_eq!(
        outcome.stdout.lines().count(),
        200_000,
        "nothing is cut off"
    );
    assert_eq!(exec(&container, "kill -9 $$").code(), 137);
    // What an exec leaves behind does not hold it up.
    assert_eq!(exec(&container, "sleep 1000 & echo done").stdout, "done\n");
}

fn exec_signals(context: &Context) {
    let container = context.detached(&CreateOptions {
        network: Some("host".to_owned()),
        ..context.shell("exec sleep 1000")
    });
    assert_eq!(exec(&container, "kill -0 1").code(), 0);
    container.kill("KILL").unwrap();
    assert_eq!(container.wait().unwrap(), 137);
}

fn exec_failures(context: &Context) {
    let container = context.detached(&context.shell("exec sleep 1000"));
    let run = |command: &str| {
        container
            .exec(&ExecOptions {
                command: vec![command.to_owned()],
                ..ExecOptions::default()
            })
            .unwrap_err()
    };
    assert_eq!(
        (
            run("nosuch").exit_code(),
            run("/etc/not-a-program").exit_code()
        ),
        (127, 126)
    );
    assert!(
        run("nosuch")
            .to_string()
            .contains("executable file not found in $PATH")
    );
    container.stop(Some(0), None).unwrap();
    let error = run("true");
    assert_eq!(
        error.to_string(),
        format!("container {} is not running", container.id())
    );
}

fn missing(context: &Context) {
    for (program, code) in [
        ("nosuch", 127),
        ("/nosuch", 127),
        ("/etc/not-a-program", 126),
        ("/etc", 126),
    ] {
        let container = context.create(&CreateOptions {
            command: vec![program.to_owned()],
            ..CreateOptions::default()
        });
        let error = context
            .try_start(&container, Attach::default())
            .unwrap_err();
        assert_eq!(error.exit_code(), code, "{program}: {error}");
        assert!(error.to_string().contains(program), "{error}");
        let state = container.state().unwrap();
        assert_eq!(
            (state.status, state.exit_code),
            (Status::Created, Some(code)),
            "{program}"
        );
        assert_eq!(state.error, error.to_string());
    }
    let container = context.create(&CreateOptions {
        command: vec!["nosuch".to_owned()],
        auto_remove: true,
        ..CreateOptions::default()
    });
    assert!(context.try_start(&container, Attach::default()).is_err());
    assert!(
        context.containers.find(container.id().as_str()).is_err(),
        "--rm removes it even so"
    );
}

fn wait(context: &Context) {
    let container = context.detached(&CreateOptions {
        open_stdin: true,
        ..context.shell("read line; exit 4")
    });
    let waiter = {
        let container = container.clone();
        std::thread::spawn(move || container.wait().unwrap())
    };
    let session = container
        .attach(Attach {
            stdin: true,
            stdout: true,
            stderr: true,
        })
        .unwrap();
    assert_eq!(finish(session, b"go\n").code(), 4);
    assert_eq!(waiter.join().unwrap(), 4);
    assert_eq!(container.wait().unwrap(), 4, "and afterwards");
}

fn removal_during_start(context: &Context) {
    // No other process of this machine sleeps that long.
    let seconds = (1_000_000 + std::process::id()).to_string();
    for _ in 0..20 {
        let container = context.create(&context.shell(&format!("exec sleep {seconds}")));
        std::thread::scope(|scope| {
            let start = scope.spawn(|| context.try_start(&container, Attach::default()).map(drop));
            container.remove(true, true).unwrap();
            // Who was first decides whether it started.
            let _ = start.join().unwrap();
        });
        assert!(context.containers.find(container.id().as_str()).is_err());
    }
    let command = format!("sleep\0{seconds}\0");
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
        .filter(|line| line.as_slice() == command.as_bytes())
        .count();
    assert_eq!(left, 0, "processes that no record names");
}

fn refuse_removal(context: &Context) {
    let container = context.detached(&CreateOptions {
        name: Some("busy".to_owned()),
        ..context.shell("exec sleep 1000")
    });
    let error = container.remove(false, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot remove container \"/busy\": container is running: stop the container before removing or force remove"
    );
    assert!(
        context
            .try_start(&container, Attach::default())
            .unwrap_err()
            .to_string()
            .contains("already running")
    );
    container.kill("KILL").unwrap();
    assert_eq!(container.wait().unwrap(), 137);
    assert!(
        container
            .kill("KILL")
            .unwrap_err()
            .to_string()
            .contains("is not running")
    );
    container.remove(false, true).unwrap();
    assert!(context.containers.find("busy").is_err());
}

fn names(context: &Context) {
    let container = context.create(&CreateOptions {
        name: Some("one".to_owned()),
        ..CreateOptions::default()
    });
    let options = CreateOptions {
        name: Some("one".to_owned()),
        ..CreateOptions::default()
    };
    let error = context
        .containers
        .create(&context.image, "busybox", &options)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Conflict. The container name \"/one\" is already in use by container"),
        "{error}"
    );
    assert_eq!(
        context.containers.list().unwrap().len(),
        1,
        "the refused one left nothing"
    );
    let found = |text: &str| context.containers.find(text).unwrap().id().clone();
    assert_eq!(&found("one"), container.id());
    assert_eq!(&found("/one"), container.id());
    assert_eq!(&found(container.id().short()), container.id());
    assert_eq!(&found(&container.id().as_str()[..3]), container.id());
    assert!(context.containers.find("").is_err());
    // Seventeen ids and sixteen digits: two begin alike.
    for _ in 0..16 {
        context.create(&CreateOptions::default());
    }
    let ambiguous = (0..16).any(|digit| {
        matches!(
            context.containers.find(&format!("{digit:x}")),
            Err(kiln_runtime::container::Error::Ambiguous { .. })
        )
    });
    assert!(ambiguous);
}

fn setup(context: &Context) {
    let script = "hostname; echo $HOSTNAME $HOME $PATH; pwd; id -u; id -G; cat /etc/hosts /etc/resolv.conf; ls -A /fresh; stat -c '%a %u' / /fresh";
    let outcome = context.run(&CreateOptions {
        hostname: Some("box".to_owned()),
        workdir: Some("/fresh/dir".to_owned()),
        user: Some("www".to_owned()),
        extra_hosts: vec!["db:10.9.8.7".to_owned()],
        dns: vec!["192.0.2.1".to_owned()],
        // On a bridge, names are asked of the monitor.
        network: Some("private".to_owned()),
        ..context.shell(script)
    });
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[..5],
        ["box", "box /www /bin", "/fresh/dir", "33", "33 44"],
        "{outcome:?}"
    );
    assert!(
        lines.contains(&"10.9.8.7\tdb") && lines.contains(&"nameserver 192.0.2.1"),
        "{outcome:?}"
    );
    assert_eq!(
        lines[lines.len() - 3..],
        ["dir", "755 0", "755 0"],
        "{outcome:?}"
    );
}

fn inspect(context: &Context) {
    let container = context.create(&CreateOptions {
        name: Some("looked-at".to_owned()),
        labels: vec!["a=b".to_owned()],
        publish: vec!["127.0.0.1::80".to_owned()],
        ..context.shell("exec sleep 1000")
    });
    let json = container.inspect().unwrap();
    assert_eq!(
        (
            &json["Name"],
            &json["State"]["Status"],
            &json["State"]["Running"]
        ),
        (&"/looked-at".into(), &"created".into(), &false.into())
    );
    drop(context.start(&container, Attach::default()));
    let json = container.inspect().unwrap();
    assert_eq!(
        (&json["State"]["Status"], &json["Path"], &json["Args"][0]),
        (&"running".into(), &"sh".into(), &"-c".into())
    );
    assert!(json["State"]["Pid"].as_i64().unwrap() > 1);
    assert_eq!(json["Config"]["Labels"]["a"], "b");
    assert_eq!(json["Mounts"][0]["Destination"], "/data");
    let binding = &json["NetworkSettings"]["Ports"]["80/tcp"][0];
    assert_eq!(binding["HostIp"], "127.0.0.1");
    assert_ne!(binding["HostPort"], "0");
}
