//! Images of very many layers: mounted layer by layer, in one call as older kernels must, and merged.

use std::time::Duration;

use xtask::identity::Identity;
use xtask::process::{self, Finished};

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(many_layers_are_one_tree);

const LIMIT: Duration = Duration::from_secs(300);

/// One layer that the next removes, and one that stays, for each number.
fn dockerfile(layers: usize) -> String {
    let mut text = String::from("FROM base\nRUN mkdir -m 0751 /d && touch /d/gone-0\n");
    for number in 1..layers {
        text.push_str(&format!("COPY <<EOF /d/only-{number}\n{number}\nEOF\n"));
        if number % 40 == 0 {
            text.push_str(&format!(
                "RUN rm /d/gone-* && touch /d/gone-{number} && echo changed > /d/only-1\n"
            ));
        }
    }
    text
}

const LOOK: &str =
    "stat -c %a /d; ls /d | sort | md5sum; cat /d/only-* | md5sum; ls /d/gone-*; cat /d/only-1";

fn many_layers_are_one_tree(env: &TestEnv) {
    for (count, last) in [(110, 80), (300, 280)] {
        let image = format!("deep:{count}");
        env.image(&image, &dockerfile(count));
        let seen = env.output_of(&image, LOOK);
        assert!(seen.starts_with("751\n"), "{seen}");
        let end = format!("/d/gone-{last}\nchanged\n");
        assert!(seen.ends_with(&end), "{seen}");
        // What is read without a mount is the same.
        env.image("copied", &format!("FROM base\nCOPY --from={image} /d /d\n"));
        let looked = env.output_of("copied", LOOK.split_once("; ").unwrap().1);
        assert_eq!(looked, seen.split_once('\n').unwrap().1);
        in_one_call(env, &image, &seen);
        if count == 110 {
            unpacked_by_umoci(env, &image, &seen);
        }
    }
}

/// The kernel takes no layers one by one.
fn in_one_call(env: &TestEnv, image: &str, seen: &str) {
    if lacks("strace") {
        return;
    }
    let trace = env.scratch().path().join("trace");
    let first = run(env, &["-e", "trace=fsconfig"], &trace, image);
    // An unprivileged tracer turns newuidmap's privilege off.
    if !env.identity().is_root() && first.stderr.contains("newuidmap") {
        println!("skipped: needs root");
        return;
    }
    assert_eq!(first.stdout, seen, "{}", first.stderr);
    let position = first_layer(&std::fs::read_to_string(&trace).unwrap());
    let inject = format!("inject=fsconfig:error=EINVAL:when={position}");
    let refused = ["-e", "trace=fsconfig,mount", "-e", &inject];
    let second = run(env, &refused, &trace, image);
    assert_eq!(second.stdout, seen, "{}", second.stderr);
    let text = std::fs::read_to_string(&trace).unwrap();
    let calls = text.lines().filter(|line| line.contains("upperdir=upper,"));
    assert_eq!(calls.count(), 1, "{text}");
}

/// The tree that another program makes of the same layers.
fn unpacked_by_umoci(env: &TestEnv, image: &str, seen: &str) {
    if lacks("umoci") {
        return;
    }
    let at = |name: &str| env.scratch().path().join(name).display().to_string();
    let layout = format!("{}:latest", at("layout"));
    env.ok(&["copy", &format!("store:{image}"), &format!("oci:{layout}")]);
    let bundle = at("bundle");
    let mut umoci = env.program("umoci");
    umoci.args(["unpack", "--image", &layout]);
    if !env.identity().is_root() {
        umoci.arg("--rootless");
    }
    process::run(umoci.arg(&bundle), LIMIT).unwrap();
    let directory = format!("{bundle}/rootfs/d");
    let mut look = env.program("sh");
    look.args(["-c", &LOOK.replace("/d", &directory)]);
    let looked = process::run(&mut look, LIMIT).unwrap().stdout;
    assert_eq!(looked.replace(&directory, "/d"), seen);
}

/// A tracer that leaves the programs it follows the privileges of their files, which only root can.
fn tracer(env: &TestEnv) -> std::process::Command {
    let current = Identity::current().unwrap();
    if env.identity().is_root() || !current.is_root() {
        return env.program("strace");
    }
    let user = env.identity();
    let mut strace = current.command(xtask::program::find("strace").unwrap());
    strace.args(["-u", &user.name]);
    strace.env("HOME", &user.home);
    strace.env("USER", &user.name).env("LOGNAME", &user.name);
    strace
}

fn run(env: &TestEnv, flags: &[&str], trace: &std::path::Path, image: &str) -> Finished {
    let kiln = env.kiln();
    let mut strace = tracer(env);
    strace
        .args(["-f", "-qq", "-s", "200"])
        .args(flags)
        .arg("-o")
        .arg(trace);
    strace.arg(kiln.program()).arg("--root").arg(kiln.root());
    strace.args(["run", "--rm", "--network", "none", image, "sh", "-c", LOOK]);
    process::capture(&mut strace, LIMIT).unwrap()
}

/// Which call of its process adds the first layer.
fn first_layer(trace: &str) -> usize {
    let process = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let first = trace.lines().find(|line| line.contains("\"lowerdir+\""));
    let first = first.expect("layers are added one by one");
    let own = trace.lines().filter(|line| process(line) == process(first));
    1 + own.take_while(|line| *line != first).count()
}
