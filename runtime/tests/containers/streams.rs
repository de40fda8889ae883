//! Logs, terminals, attaching.

use std::io::Write;
use std::os::fd::AsFd;

use kiln_runtime::WindowSize;
use kiln_runtime::container::{
    Attach, CreateOptions, ExecOptions, Local, LogOptions, SessionEnd, StartOptions,
};

use crate::Test;
use crate::support::{Context, exec, exec_options, finish, logs, null, wait_for_log};

pub(crate) const TESTS: &[Test] = &[
    ("the_log_is_complete", complete),
    ("a_follower_loses_no_tail", follow),
    ("tail_and_timestamps", tail),
    ("input_goes_in_and_its_end_too", input),
    ("a_terminal_is_a_terminal", terminal),
    ("exec_on_a_terminal", exec_terminal),
    ("detach_keys_leave_it_running", detach),
    ("many_clients_see_the_same", many),
    ("a_client_that_leaves_changes_nothing", leaver),
    ("broken_pipes_kill_inside", broken_pipe),
];

const BOTH: Attach = Attach {
    stdin: true,
    stdout: true,
    stderr: true,
};

fn complete(context: &Context) {
    let container = context.detached(&context.shell("seq 1 100000; echo failed >&2; exit 1"));
    assert_eq!(container.wait().unwrap(), 1);
    let (stdout, stderr) = logs(&container, &LogOptions::default());
    assert_eq!(
        (
            stdout.lines().count(),
            stdout.lines().last(),
            stderr.as_str()
        ),
        (100_000, Some("100000"), "failed\n")
    );
}

fn follow(context: &Context) {
    for _ in 0..20 {
        let container = context.detached(&context.shell("seq 1 2000; printf tail"));
        let (stdout, _) = logs(
            &container,
            &LogOptions {
                follow: true,
                ..LogOptions::default()
            },
        );
        assert!(
            stdout.ends_with("\n2000\ntail"),
            "{:?}",
            stdout.lines().last()
        );
        assert_eq!(stdout.lines().count(), 2001);
    }
}

fn tail(context: &Context) {
    let container = context.detached(&context.shell("seq 1 10"));
    container.wait().unwrap();
    assert_eq!(
        logs(
            &container,
            &LogOptions {
                tail: Some(2),
                ..LogOptions::default()
            }
        )
        .0,
        "9\n10\n"
    );
    let stamped = logs(
        &container,
        &LogOptions {
            tail: Some(1),
            timestamps: true,
            ..LogOptions::default()
        },
    )
    .0;
    let (time, line) = stamped.split_once(' ').unwrap();
    assert!(
        time.len() == 30 && time.ends_with('Z') && line == "10\n",
        "{stamped}"
    );
}

fn input(context: &Context) {
    let options = CreateOptions {
        open_stdin: true,
        stdin_once: true,
        command: vec!["wc".to_owned(), "-c".to_owned()],
        ..CreateOptions::default()
    };
    let container = context.create(&options);
    let outcome = finish(context.start(&container, BOTH), &vec![b'x'; 3 << 20]);
    assert_eq!(
        (outcome.code(), outcome.stdout),
        (0, format!("{}\n", 3 << 20))
    );
    // Without -i there is no input at all.
    let outcome = context.run(&CreateOptions {
        command: vec!["cat".to_owned()],
        ..CreateOptions::default()
    });
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (0, ""));
}

fn terminal(context: &Context) {
    let script = "tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all; echo err >&2; read line; stty size; echo \"<$line>\"";
    let options = CreateOptions {
        terminal: true,
        open_stdin: true,
        stdin_once: true,
        ..context.shell(script)
    };
    let container = context.create(&options);
    let size = WindowSize {
        rows: 33,
        columns: 77,
    };
    let session = context
        .containers
        .start(
            &container,
            &context.launcher,
            &StartOptions {
                attach: BOTH,
                size,
                ..StartOptions::default()
            },
        )
        .unwrap();
    session
        .terminal()
        .unwrap()
        .expect("a terminal")
        .resize(WindowSize {
            rows: 40,
            columns: 100,
        })
        .unwrap();
    let outcome = finish(session, b"typed\n");
    let text = outcome.stdout.replace('\r', "");
    assert_eq!(outcome.code(), 0, "{text}");
    for expected in [
        "/dev/",
        "xterm\n",
        "all\n",
        "err\n",
        "40 100\n",
        "<typed>\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text:?}");
    }
    assert_eq!(outcome.stderr, "", "a terminal has one stream");
}

fn exec_terminal(context: &Context) {
    let container = context.detached(&context.shell("exec sleep 1000"));
    let size = WindowSize {
        rows: 20,
        columns: 60,
    };
    let options = ExecOptions {
        terminal: true,
        open_stdin: true,
        size,
        ..exec_options("stty size; tty; echo $TERM; read line; echo \"<$line>\"; exit 6")
    };
    let outcome = finish(container.exec(&options).unwrap(), b"typed\n");
    let text = outcome.stdout.replace('\r', "");
    assert_eq!(outcome.code(), 6, "{text}");
    for expected in ["20 60\n", "/dev/pts/", "xterm\n", "<typed>\n"] {
        assert!(text.contains(expected), "{expected:?} in {text:?}");
    }
}

fn detach(context: &Context) {
    let container = context.create(&CreateOptions {
        terminal: true,
        open_stdin: true,
        ..context.shell("read line; echo got $line; read line; exit 2")
    });
    let outcome = finish(context.start(&container, BOTH), b"first\n\x10\x11");
    assert_eq!(outcome.end, SessionEnd::Detached);
    assert!(container.is_running().unwrap());
    wait_for_log(&container, "got first");
    assert_eq!(
        finish(container.attach(BOTH).unwrap(), b"second\n").code(),
        2
    );
}

fn many(context: &Context) {
    let container = context.detached(&CreateOptions {
        open_stdin: true,
        ..context.shell("read line; seq 1 5000")
    });
    let watchers: Vec<_> = (0..5)
        .map(|_| {
            let session = container.attach(Attach::OUTPUT).unwrap();
            std::thread::spawn(move || finish(session, b""))
        })
        .collect();
    let first = finish(container.attach(BOTH).unwrap(), b"go\n");
    assert_eq!(first.stdout.lines().count(), 5000);
    for watcher in watchers {
        assert_eq!(watcher.join().unwrap(), first);
    }
}

fn leaver(context: &Context) {
    let container =
        context.create(&context.shell("while test ! -e /stop; do echo line; done; echo last"));
    drop(context.start(&container, Attach::OUTPUT));
    let session = container.attach(Attach::OUTPUT).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let result = session.run(Local {
        stdin: None,
        stdout: writer.as_fd(),
        stderr: null().as_fd(),
        detach_keys: None,
    });
    assert!(result.is_err(), "nobody reads: {result:?}");
    assert!(container.is_running().unwrap());
    assert_eq!(exec(&container, "touch /stop").code(), 0);
    assert_eq!(container.wait().unwrap(), 0);
    let (stdout, _) = logs(
        &container,
        &LogOptions {
            tail: Some(1),
            ..LogOptions::default()
        },
    );
    assert_eq!(stdout, "last\n");
    null().flush().unwrap();
}

fn broken_pipe(context: &Context) {
    let container = context.detached(&context.shell("exec sleep 1000"));
    // With SIGPIPE ignored, `yes` would complain and fail with 1.
    let outcome = exec(&container, "(yes; echo $? >&2) | head -n 1");
    assert_eq!(outcome.stdout, "y\n");
    assert_eq!(outcome.stderr.trim(), "141", "{outcome:?}");
    let outcome = context.run(&context.shell("(yes; echo $? >&2) | head -n 1"));
    assert_eq!(outcome.stderr.trim(), "141", "{outcome:?}");
}
