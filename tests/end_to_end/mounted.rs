//! What `RUN --mount` gives a step: caches that several steps use at once, keys of ssh.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::background::Background;

use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    mount_points_are_no_part_of_a_layer,
    caches_are_shared_locked_or_apart,
    keys_in_files_sign_for_a_step,
);

const LIMIT: Duration = Duration::from_secs(120);

fn mount_points_are_no_part_of_a_layer(env: &TestEnv) {
    let busybox = xtask::program::find("busybox").unwrap();
    let copy = Path::new(env.context()).join("busybox");
    std::fs::copy(busybox, &copy).unwrap();
    env.identity().take(&copy).unwrap();
    let dockerfile = "\
FROM scratch
COPY busybox /busybox
RUN --mount=target=/mnt/context [\"/busybox\", \"true\"]
RUN [\"/busybox\", \"mkdir\", \"/own\"]
";
    env.image("bare", dockerfile);
    let tar = env.scratch().path().join("bare.tar");
    env.ok(&["create", "--name", "bare", "bare", "/busybox"]);
    env.ok(&["export", "--output", tar.to_str().unwrap(), "bare"]);
    let mut list = Command::new("tar");
    let listed = xtask::process::run(list.arg("-tf").arg(&tar), LIMIT).unwrap();
    let mut names: Vec<_> = listed.stdout.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["./", "busybox", "own/"]);
}

/// Two stages that wait for each other in one cache, and use another by turns or apart.
fn meeting(sharing: &str) -> String {
    let wait = "i=0; until test -e /meet/$other; do i=$((i+1)); test $i -lt 600 || exit 1; sleep 0.1; done";
    let stage = |own: &str, other: &str, work: &str| {
        format!(
            "FROM base AS {own}\nARG ROUND\nRUN --mount=type=cache,id=meet,target=/meet \
             --mount=type=cache,id={sharing},sharing={sharing},target=/c \
             other=$ROUND{other}; touch /meet/$ROUND{own}; {work}; touch /{own}\n"
        )
    };
    let work = match sharing {
        // Never two at once, so nobody waits inside.
        "locked" => "mkdir /c/busy || exit 1; sleep 0.2; rmdir /c/busy".to_owned(),
        // Both at once, each alone with its own.
        "private" => format!("mkdir /c/busy || exit 1; {wait}; rmdir /c/busy"),
        _ => format!("mkdir -p /c/busy || exit 1; {wait}; test -d /c/busy || exit 1"),
    };
    let (one, two) = (stage("one", "two", &work), stage("two", "one", &work));
    format!("{one}{two}FROM base\nCOPY --from=one /one /one\nCOPY --from=two /two /two\n")
}

fn caches_are_shared_locked_or_apart(env: &TestEnv) {
    for sharing in ["shared", "locked", "private"] {
        let directory = env.scratch().directory(sharing).unwrap();
        let file = directory.join("Dockerfile");
        std::fs::write(&file, meeting(sharing)).unwrap();
        // Builds at once, with two steps at once each, that must not take each other's results.
        let mut builds: Vec<_> = ["a", "b"]
            .iter()
            .map(|round| {
                let round = format!("ROUND={sharing}{round}");
                let arguments = ["build", "--jobs", "2", "--build-arg", &round];
                let mut command = env.kiln().command(&arguments);
                command
                    .arg(&directory)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null());
                Background::start(&mut command).unwrap()
            })
            .collect();
        for build in &mut builds {
            let status = build.wait(LIMIT).unwrap().expect("a build ends");
            assert!(status.success(), "{sharing}: {status}");
        }
    }
    // Nothing of one cache is in another.
    env.image(
        "apart",
        "FROM base\nRUN --mount=type=cache,id=other,target=/c test -z \"$(ls -A /c)\"\n",
    );
    env.assert_quiet();
}

/// Puts a program of this machine into the context, with the libraries that it loads.
fn take_program(env: &TestEnv, name: &str) {
    let path = xtask::program::find(name).unwrap();
    let listed = xtask::process::run(Command::new("ldd").arg(&path), LIMIT).unwrap();
    let libraries = listed.stdout.split_whitespace();
    let libraries = libraries
        .filter(|word| word.starts_with('/'))
        .map(Path::new);
    for file in libraries.chain([path.as_path()]) {
        let place = Path::new(env.context())
            .join("programs")
            .join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(file, &place).unwrap();
    }
}

fn keys_in_files_sign_for_a_step(env: &TestEnv) {
    if ["ssh-keygen", "ssh-add", "ssh-agent", "ldd"]
        .into_iter()
        .any(lacks)
    {
        return;
    }
    take_program(env, "ssh-add");
    take_program(env, "ssh-keygen");
    let keys = env.scratch().directory("keys").unwrap();
    let make = |name: &str, phrase: &str| {
        let path = keys.join(name);
        let mut keygen = env.program("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-C", name, "-N", phrase, "-f"]);
        xtask::process::run(keygen.arg(&path), LIMIT).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, two, locked) = (make("one", ""), make("two", ""), make("locked", "phrase"));
    std::fs::copy(
        format!("{one}.pub"),
        Path::new(env.context()).join("one.pub"),
    )
    .unwrap();
    let dockerfile = "\
FROM base
COPY programs /
COPY one.pub /one.pub
RUN --mount=type=ssh ssh-add -l > /listed && ! ssh-add -D && \
    ssh-keygen -q -Y sign -n file -f /one.pub /etc/passwd && \
    ssh-keygen -q -Y check-novalidate -n file -s /etc/passwd.sig < /etc/passwd && ssh-add -l | cmp - /listed
RUN --mount=type=ssh,id=other ssh-add -l | cut -d ' ' -f 3 > /other
RUN ! ssh-add -l && ! find / -xdev -name one -type f | grep one
";
    let both = format!("default={one},{two}");
    let other = format!("other={two}");
    let finished = env.build(
        dockerfile,
        &["--tag", "keys", "--ssh", &both, "--ssh", &other],
    );
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        env.output_of("keys", "cut -d ' ' -f 3 /listed; cat /other"),
        "one\ntwo\ntwo\n"
    );
    env.assert_quiet();
    let refused = |ssh: &str| {
        let finished = env.build(dockerfile, &["--ssh", ssh]);
        assert!(!finished.status.success());
        finished.stderr
    };
    let said = refused(&format!("default={locked}"));
    assert!(
        said.contains("cannot use the key") && said.contains("passphrase"),
        "{said}"
    );
    let said = refused(&format!("default={one}.pub"));
    assert!(said.contains("cannot use the key"), "{said}");
    let said = refused(&format!("default={}", keys.display()));
    assert!(said.contains("neither a private key nor"), "{said}");
    assert!(refused("default=/none").contains("examining `/none`"));
    env.assert_quiet();
}
