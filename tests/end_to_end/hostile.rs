//! Small hostile things: names, links and files made to lead kiln astray.

use std::os::unix::fs::symlink;
use std::path::Path;

use std::time::Duration;

use crate::support::{TestEnv, forged, lacks, scenarios};

const LIMIT: Duration = Duration::from_secs(60);

scenarios!(
    links_in_the_context_stay_inside,
    links_in_the_image_stay_inside,
    copy_does_not_climb_out,
    a_mount_target_that_is_a_link_stays_inside,
    a_step_cannot_reach_the_store,
    a_container_name_is_no_path,
    names_with_odd_bytes_survive,
    layers_made_to_escape_do_not,
);

/// A file outside that must be neither read nor written.
fn outside(env: &TestEnv) -> String {
    let directory = env.scratch().directory("outside").unwrap();
    std::fs::write(directory.join("file"), "outside\n").unwrap();
    env.identity().take(&directory.join("file")).unwrap();
    directory.to_str().unwrap().to_owned()
}

fn assert_untouched(outside: &str) {
    assert_eq!(
        std::fs::read_to_string(Path::new(outside).join("file")).unwrap(),
        "outside\n"
    );
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 1);
}

fn links_in_the_context_stay_inside(env: &TestEnv) {
    let outside = outside(env);
    symlink(&outside, Path::new(env.context()).join("way")).unwrap();
    env.fails(&["build", env.context()]);
    let finished = env.build("FROM base\nCOPY way/file /file\n", &[]);
    assert!(!finished.status.success(), "a link led out of the context");
    // Copied as a link, it is harmless.
    env.image("link", "FROM base\nCOPY . /copied/\n");
    assert_eq!(
        env.output_of("link", "readlink /copied/way").trim(),
        outside
    );
}

fn links_in_the_image_stay_inside(env: &TestEnv) {
    let outside = outside(env);
    env.write("evil", "evil\n");
    let dockerfile = format!(
        "FROM base AS links
RUN ln -s {outside} /way && ln -s ../../../../../../../..{outside} /up && ln -s {outside}/file /etc/evil
COPY evil /way/file
COPY evil /up/other
COPY evil /etc/evil
WORKDIR /way/sub
FROM base
COPY --from=links {outside} /got
"
    );
    env.image("links", &dockerfile);
    assert_untouched(&outside);
    assert_eq!(
        env.output_of("links", "cat /got/file /got/other; ls /got"),
        "evil\nevil\nfile\nother\nsub\n"
    );
}

fn copy_does_not_climb_out(env: &TestEnv) {
    let outside = outside(env);
    let finished = env.build("FROM base\nCOPY ../outside/file /file\n", &[]);
    let climbed = finished.status.success();
    assert!(!climbed, "COPY took a file from above its context");
    env.image(
        "up",
        "FROM base\nRUN echo x > /x\nFROM base\nCOPY --from=0 /../../x /y\n",
    );
    assert_eq!(env.output_of("up", "cat /y"), "x\n");
    assert_untouched(&outside);
}

fn a_mount_target_that_is_a_link_stays_inside(env: &TestEnv) {
    let outside = outside(env);
    let script = format!(
        "mkdir root && tar xf ../base/base.tar -C root && cd root && rm -rf tmp proc && ln -s {outside} tmp && \
         ln -s {outside} data && ln -s {outside} proc && ln -s {outside}/file etc/resolv.conf && \
         ln -s {outside}/new etc/hosts && tar cf ../evil.tar . && cd .. && rm -rf root"
    );
    let mut make = env.program("sh");
    make.args(["-c", &script]).current_dir(env.context());
    xtask::process::run(&mut make, LIMIT).unwrap();
    env.image("targets", "FROM scratch\nADD evil.tar /\n");
    // Whether these work is another question; they must not touch what the links name outside.
    env.build(
        "FROM targets\nRUN echo evil > /data/file; echo evil > /tmp/new; echo evil >> /etc/hosts\n",
        &[],
    );
    let bound = env.scratch().directory("bound").unwrap();
    let bind = format!("{}:/data/sub", bound.display());
    let script = "echo evil > /data/file; echo evil > /etc/resolv.conf";
    env.run(&[
        "run",
        "--rm",
        "-v",
        &bind,
        "-w",
        "/data/work",
        "targets",
        "sh",
        "-c",
        script,
    ]);
    assert_untouched(&outside);
}

fn a_step_cannot_reach_the_store(env: &TestEnv) {
    let store = env.kiln().root().to_str().unwrap();
    let finished = env.build(
        &format!("FROM base\nRUN ! ls {store} 2>/dev/null && ! ls -d /proc/1/root/{store} 2>/dev/null && test $(ls /proc/self/fd | wc -l) -le 4\n"),
        &[],
    );
    assert!(finished.status.success(), "{}", finished.stderr);
}

fn a_container_name_is_no_path(env: &TestEnv) {
    for name in ["../escape", "a/b", "", ".", "..", "-x", "a\nb"] {
        let finished = env.run(&["create", &format!("--name={name}"), "base", "true"]);
        assert_ne!(finished.code(), 0, "the name {name:?} is taken");
    }
    assert_eq!(env.ok(&["ps", "--all", "--quiet"]), "");
}

fn names_with_odd_bytes_survive(env: &TestEnv) {
    use std::os::unix::ffi::OsStrExt;
    let names: [&[u8]; 4] = [b"with space", b"new\nline", b"\xff\xfe", b"\xc3\xa4"];
    for name in names {
        let path = Path::new(env.context())
            .join("odd")
            .join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let image = env.remote("odd:1");
    env.image(&image, "FROM base\nCOPY odd /odd\nRUN cd /odd && for f in *; do test \"$(cat \"$f\")\" = \"$f\" || exit 1; done\n");
    let sums = "cd /odd && md5sum * | md5sum; ls | wc -l";
    let before = env.output_of(&image, sums);
    env.ok(&["push", &image]);
    env.kiln().delete_store().unwrap();
    env.ok(&["pull", &image]);
    assert_eq!(env.output_of(&image, sums), before);
}

/// Shell lines that make `layer.tar` of a file `evil`; `$OUT` is the place that must stay untouched.
const ESCAPES: &[(&str, &str)] = &[
    (
        "dots",
        "tar -cPf layer.tar --transform \"s|^evil|../../../../../../../..$OUT/new|\" evil",
    ),
    (
        "absolute",
        "tar -cPf layer.tar --transform \"s|^evil|$OUT/new|\" evil",
    ),
    (
        "link",
        "ln -s $OUT way; tar -cf layer.tar way; tar -rPf layer.tar --transform \"s|^evil|way/new|\" evil",
    ),
    (
        "link-up",
        "ln -s ../../../../../../../..$OUT way; tar -cf layer.tar way; \
         tar -rPf layer.tar --transform \"s|^evil|way/file|\" evil",
    ),
    (
        "hard-link",
        "ln evil hard; tar -cPf layer.tar --transform \"s|^evil|$OUT/file|RSh\" evil hard; \
         tar -rPf layer.tar --transform \"s|^evil|hard|\" evil",
    ),
    (
        "whiteout",
        "ln -s $OUT way; tar -cf layer.tar way; tar -rPf layer.tar --transform \"s|^evil|way/.wh.file|\" evil; \
         tar -rPf layer.tar --transform \"s|^evil|way/.wh..wh..opq|\" evil",
    ),
];

fn layers_made_to_escape_do_not(env: &TestEnv) {
    if lacks("skopeo") {
        return;
    }
    let outside = outside(env);
    for (name, script) in ESCAPES {
        let directory = env.scratch().directory(&format!("make-{name}")).unwrap();
        let mut make = std::process::Command::new("sh");
        make.args(["-ec", &format!("echo evil > evil; {script}")])
            .current_dir(&directory)
            .env("OUT", &outside);
        xtask::process::run(&mut make, LIMIT).unwrap();
        let image = forged::push(env, name, &directory.join("layer.tar"));
        // Refused or unpacked inside: both are right.
        let pulled = env.run(&["pull", &image]);
        assert!([0, 1].contains(&pulled.code()), "{name}: {}", pulled.stderr);
        if pulled.status.success() {
            env.build(
                &format!("FROM {image}\nCOPY --from=base /bin /bin\nRUN ls -R /\nCOPY . /way/\n"),
                &[],
            );
        }
        // ADD unpacks the same bytes by another way.
        std::fs::copy(
            directory.join("layer.tar"),
            Path::new(env.context()).join("layer.tar"),
        )
        .unwrap();
        env.build("FROM base\nADD layer.tar /\n", &[]);
        assert_untouched(&outside);
    }
}
