//! A build that is killed at any moment leaves nothing behind that harms the next one.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::background::Background;
use xtask::random::{MOMENTS_VARIABLE, Random};

use crate::support::{TestEnv, scenarios};

scenarios!(
    a_killed_build_can_be_repeated,
    builds_at_once_share_a_store,
    builds_at_once_do_a_step_once,
    an_interrupted_build_ends_its_steps
);

const LIMIT: Duration = Duration::from_secs(120);

/// How often the build is killed, unless the environment asks for more.
const MOMENTS: u32 = 20;

/// Several layers in two stages, each with enough files that a kill hits in the middle of things.
const DOCKERFILE: &str = "\
FROM base AS one
ARG ROUND
RUN mkdir /one && for i in $(seq 200); do echo \"$ROUND $i\" > /one/$i; done
COPY tree /tree
RUN rm -r /tree/1 && echo changed > /tree/2
FROM base
ARG ROUND
RUN mkdir /two && for i in $(seq 200); do echo \"$ROUND $i\" > /two/$i; done
COPY --from=one /one /one
COPY --from=one /tree /tree
RUN cat /one/* /two/* | md5sum > /sum
";

fn arguments<'a>(round: &'a str, context: &'a str) -> [&'a str; 6] {
    ["build", "--tag", "killed", "--build-arg", round, context]
}

fn start(command: &mut Command) -> Background {
    Background::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
    .unwrap()
}

fn a_killed_build_can_be_repeated(env: &TestEnv) {
    let mut random = Random::seeded();
    println!("seed {}", random.seed());
    for name in 0..100 {
        env.write(&format!("tree/{name}"), &name.to_string());
    }
    env.write("Dockerfile", DOCKERFILE);
    // The time of a whole build: moments are drawn from it.
    let started = Instant::now();
    env.ok(&arguments("ROUND=first", env.context()));
    let whole = started.elapsed();
    let moments = std::env::var(MOMENTS_VARIABLE).map_or(MOMENTS, |text| text.parse().unwrap());
    for moment in 0..moments {
        let round = format!("ROUND={moment}");
        let after = whole.mul_f64(random.fraction());
        let mut build = start(&mut env.kiln().command(&arguments(&round, env.context())));
        std::thread::sleep(after);
        build.kill().unwrap();
        env.ok(&arguments(&round, env.context()));
        let script =
            "cat /one/* /two/* | md5sum | cmp - /sum && ls /tree | wc -l && head -n 1 /one/7";
        let expected = format!("99\n{moment} 7\n");
        assert_eq!(
            env.output_of("killed", script),
            expected,
            "killed after {after:?} of {whole:?}"
        );
    }
    println!("counted {moments} kills as {}", env.identity().name);
    env.assert_quiet();
    env.ok(&["prune", "--force"]);
    let left: Vec<_> = std::fs::read_dir(env.kiln().root().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "things in the making are left: {left:?}");
}

fn builds_at_once_share_a_store(env: &TestEnv) {
    for name in 0..100 {
        env.write(&format!("tree/{name}"), &name.to_string());
    }
    env.write("Dockerfile", DOCKERFILE);
    for round in ["ROUND=one", "ROUND=two"] {
        let arguments = arguments(round, env.context());
        let mut builds: Vec<_> = (0..4)
            .map(|_| start(&mut env.kiln().command(&arguments)))
            .collect();
        builds[0].kill().unwrap();
        for build in &mut builds[1..] {
            let status = build.wait(LIMIT).unwrap().expect("a build ends");
            assert!(status.success(), "{round}: {status}");
        }
        assert_eq!(
            env.output_of(
                "killed",
                "cat /one/* /two/* | md5sum | cmp - /sum && ls /tree | wc -l"
            ),
            "99\n"
        );
    }
    env.assert_quiet();
}

fn builds_at_once_do_a_step_once(env: &TestEnv) {
    // Each execution leaves a line in a cache, which is no part of any result.
    env.write(
        "Dockerfile",
        "FROM base\nRUN --mount=type=cache,id=count,target=/count echo once >> /count/lines && sleep 1\n",
    );
    let arguments = ["build", "--tag", "once", env.context()];
    let mut builds: Vec<_> = (0..4)
        .map(|_| start(&mut env.kiln().command(&arguments)))
        .collect();
    for build in &mut builds {
        let status = build.wait(LIMIT).unwrap().expect("a build ends");
        assert!(status.success(), "{status}");
    }
    env.image(
        "count",
        "FROM base\nRUN --mount=type=cache,id=count,target=/count cp /count/lines /lines\n",
    );
    assert_eq!(env.output_of("count", "cat /lines"), "once\n");
    env.assert_quiet();
}

fn an_interrupted_build_ends_its_steps(env: &TestEnv) {
    env.write("Dockerfile", "FROM base\nRUN sleep 600\n");
    for signal in ["INT", "TERM", "KILL"] {
        let mut build = start(&mut env.kiln().command(&["build", env.context()]));
        wait_for_sleep(env);
        let mut kill = Command::new("kill");
        xtask::process::run(kill.args(["-s", signal, &build.id().to_string()]), LIMIT).unwrap();
        let status = build
            .wait(LIMIT)
            .unwrap()
            .expect("the build ends when it is told to");
        assert!(!status.success());
        let deadline = Instant::now() + LIMIT;
        while !env.scratch().processes().is_empty() || sleeps(env) {
            assert!(
                Instant::now() < deadline,
                "a step outlives its build after SIG{signal}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        if signal == "INT" {
            // Once is enough: the build takes away what it began.
            let tmp = std::fs::read_dir(env.kiln().root().join("tmp")).unwrap();
            let left: Vec<_> = tmp.map(|entry| entry.unwrap().file_name()).collect();
            assert!(left.is_empty(), "things in the making are left: {left:?}");
        }
    }
}

fn wait_for_sleep(env: &TestEnv) {
    let deadline = Instant::now() + LIMIT;
    while !sleeps(env) {
        assert!(Instant::now() < deadline, "the step does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the step runs: a `sleep 600` whose root is not ours and whose owner is the scenario's.
fn sleeps(env: &TestEnv) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own_root = std::fs::metadata("/proc/self/root/").unwrap().dev();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|meta| meta.uid() == env.identity().uid)
        })
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|words| words == b"sleep\x00600\x00")
        })
        .any(|entry| {
            std::fs::metadata(entry.path().join("root/")).is_ok_and(|root| root.dev() != own_root)
        })
}
