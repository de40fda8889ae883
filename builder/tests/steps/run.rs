//! Steps that run, what they see, what becomes of them.

use kiln_builder::{BuildError, Built, Outcome, Secret};
use kiln_store::{Follow, View};

use crate::lab::{Lab, Test};

pub const TESTS: &[Test] = &[
    ("first_build", first_build),
    (
        "a_changed_comment_runs_once_and_changes_nothing",
        a_changed_comment,
    ),
    ("what_a_step_sees", what_a_step_sees),
    ("users", users),
    ("failures", failures),
    ("scripts", scripts),
    ("mounts", mounts),
    ("caches", caches),
    ("secrets", secrets),
    ("networks", networks),
    ("cancellation", cancellation),
    ("an_image_as_base", an_image_as_base),
    ("one_failure_ends_the_other_stages", one_failure),
    ("epochs", epochs),
    ("the_same_layer_several_times", empty_layers),
];

fn view(lab: &Lab, built: &Built) -> View {
    lab.store
        .stack(built.image.config.diff_ids())
        .expect("the layers are there")
        .view()
}

fn exists(lab: &Lab, built: &Built, path: &str) -> bool {
    view(lab, built)
        .lookup(path.as_bytes(), Follow::Parents)
        .expect("readable")
        .is_some()
}

fn text(lab: &Lab, built: &Built, path: &str) -> String {
    let view = view(lab, built);
    let entry = view
        .lookup(path.as_bytes(), Follow::All)
        .expect("readable")
        .unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(view.read_file(&entry, 1 << 20).expect("a file")).expect("text")
}

fn outcomes(built: &Built) -> Vec<&'static str> {
    let short = |outcome: &Outcome| match outcome {
        Outcome::Cached => "cached",
        Outcome::CachedByContent => "content",
        Outcome::NotNeeded => "spared",
        Outcome::Ran { .. } => "ran",
        Outcome::SameResult { .. } => "same",
        _ => "other",
    };
    built
        .steps
        .iter()
        .map(|step| short(&step.outcome))
        .collect()
}

fn first_build(lab: &Lab) {
    lab.write("a.txt", "hello\n");
    let request = lab.request(
        "WORKDIR /work\nCOPY a.txt .\nRUN cat a.txt > b.txt; echo done; id -u >&2\nCMD [\"sh\"]\n",
    );
    let built = lab.build(&request);
    assert_eq!(text(lab, &built, "/work/b.txt"), "hello\n");
    assert!(
        ["done\n0\n", "0\ndone\n"].contains(&lab.output().as_str()),
        "{}",
        lab.output()
    );
    assert_eq!(outcomes(&built), ["ran", "ran", "ran", "ran", "ran"]);
    let again = lab.build_without_launcher(&request);
    assert_eq!(outcomes(&again), ["cached"; 5]);
    assert_eq!(again.manifest_digest(), built.manifest_digest());
    assert!(lab.in_the_making().is_empty(), "{:?}", lab.in_the_making());
}

fn a_changed_comment(lab: &Lab) {
    let request = |comment: &str| {
        let steps = format!(
            "RUN echo two > /two # {comment}\nRUN echo three > /three\nRUN cat /two > /four\n"
        );
        lab.request(&format!("RUN echo one > /one\n{steps}"))
    };
    let at = |present: i64, comment: &str| {
        let mut request = request(comment);
        request.present = Some(present);
        lab.build(&request)
    };
    let first = at(1_000_000_000, "a");
    let second = at(2_000_000_000, "b");
    assert_eq!(first.manifest_digest(), second.manifest_digest());
    assert_eq!(
        first.image.config.created.as_deref(),
        Some("2001-09-09T01:46:40Z")
    );
    assert_eq!(
        outcomes(&second),
        ["cached", "cached", "cached", "same", "content", "content"]
    );
    assert_eq!(
        first.image.config.diff_ids(),
        second.image.config.diff_ids()
    );
    assert_eq!(second.steps[3].outcome.why(), Some("the command changed"));
    // A change that shows in a file that a later step reads.
    let third = lab.build(&lab.request(
        "RUN echo one > /one\nRUN echo 2 > /two\nRUN echo three > /three\nRUN cat /two > /four\n",
    ));
    assert_eq!(
        outcomes(&third),
        ["cached", "cached", "cached", "ran", "ran", "ran"]
    );
    assert_eq!(text(lab, &third, "/four"), "2\n");
}

fn what_a_step_sees(lab: &Lab) {
    let built = lab.build(&lab.request(
        "ARG A=1\nENV E=2\nWORKDIR /w\nRUN (pwd; echo $A $E $HOME; hostname; cat /etc/hosts | head -1; ls /proc/self/fd | wc -l) > out; rm /bin/vi\n",
    ));
    let out = text(lab, &built, "/w/out");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "/w",
            "1 2 /",
            "buildkitsandbox",
            "127.0.0.1\tlocalhost buildkitsandbox"
        ],
        "{out}"
    );
    for path in [
        "/bin/vi",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/proc/self",
        "/dev/null",
    ] {
        assert!(!exists(lab, &built, path), "{path}");
    }
}

fn users(lab: &Lab) {
    lab.write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
    );
    lab.write("etc/group", "web:x:34:\nlog:x:40:web\n");
    let built = lab.build(&lab.request(
        "COPY etc /etc\nWORKDIR /srv\nRUN chmod 777 /srv\nUSER web\nRUN (id -u; id -g; id -G; echo $HOME) > /srv/a\nUSER 5\nRUN (id -u; id -g) > /srv/b\n",
    ));
    assert_eq!(text(lab, &built, "/srv/a"), "33\n34\n34 40\n/srv\n");
    assert_eq!(text(lab, &built, "/srv/b"), "5\n0\n");
    let failure = lab.failure(&lab.request("USER nobody\nRUN true\n"));
    assert!(failure.message.contains("nobody"), "{failure:?}");
}

fn failures(lab: &Lab) {
    let failure = lab.failure(&lab.request("RUN echo before; \\\n  exit 3\nRUN never\n"));
    assert_eq!(
        failure.message,
        "process \"/bin/sh -c echo before;   exit 3\" did not complete successfully: exit code: 3"
    );
    assert_eq!((failure.exit_code, failure.lines), (Some(3), Some((4, 5))));
    assert_eq!(lab.output(), "before\n");
    let failure = lab.failure(&lab.request("RUN nosuchprogram\n"));
    assert_eq!(failure.exit_code, Some(127));
    assert!(failure.hint.is_some());
    let mut request = lab.request("");
    request.dockerfile = "FROM scratch\nRUN echo x\n".to_owned();
    let failure = lab.failure(&request);
    assert_eq!(failure.exit_code, Some(127), "{failure:?}");
    assert!(
        failure
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("no shell")),
        "{failure:?}"
    );
    lab.write("foreign", "\u{7f}ELF is all that this is");
    let failure =
        lab.failure(&lab.request("COPY --chmod=755 foreign /foreign\nRUN [\"/foreign\"]\n"));
    assert!(
        failure
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("processor")),
        "{failure:?}"
    );
    assert!(lab.in_the_making().is_empty(), "{:?}", lab.in_the_making());
}

fn scripts(lab: &Lab) {
    let built = lab.build(&lab.request(
        "RUN <<EOF\necho one > /a\necho two >> /a\nEOF\nRUN <<EOF\n#!/bin/cat\nthree\nEOF\nRUN cat <<A <<B > /b\nx\nA\ny\nB\n",
    ));
    assert_eq!(text(lab, &built, "/a"), "one\ntwo\n");
    assert!(lab.output().contains("three\n"), "{}", lab.output());
    assert_eq!(text(lab, &built, "/b"), "y\n");
    assert!(!exists(lab, &built, "/dev/pipes"));
}

fn mounts(lab: &Lab) {
    lab.write("dir/a", "1");
    lab.write("dir/b", "2");
    let mut request = lab.request(
        "FROM base AS other\nRUN mkdir /o; echo o > /o/f\nFROM base\nRUN --mount=type=bind,source=dir,target=/m --mount=from=other,source=/o,target=/n,rw \
         --mount=type=tmpfs,target=/t,size=1m ls /m > /out; cat /n/f >> /out; echo x > /n/f && echo rw >> /out; \
         echo x > /m/a || echo ro >> /out; echo x > /t/x && mount | grep -c ' /t ' >> /out\n",
    );
    request.ignore = Some("dir/b\n".to_owned());
    let built = lab.build(&request);
    assert_eq!(text(lab, &built, "/out"), "a\no\nrw\nro\n1\n");
    for stub in ["/m", "/n", "/t"] {
        assert!(!exists(lab, &built, stub), "{stub}");
    }
    assert_eq!(
        std::fs::read_to_string(lab.context.join("dir/a")).expect("unchanged"),
        "1"
    );
    let again = lab.build(&request);
    assert!(again.steps.iter().all(|step| step.outcome.is_cached()));
    lab.write("dir/a", "changed");
    let changed = lab.build(&request);
    assert_eq!(
        changed.steps.last().and_then(|step| step.outcome.why()),
        Some("1 file changed: dir/a")
    );
}

fn caches(lab: &Lab) {
    for sharing in ["shared", "private", "locked"] {
        let step = |number: u32| {
            lab.request(&format!(
                "RUN --mount=type=cache,target=/c,id={sharing},sharing={sharing} echo {number} >> /c/log; cp /c/log /log\n"
            ))
        };
        assert_eq!(text(lab, &lab.build(&step(1)), "/log"), "1\n");
        assert_eq!(text(lab, &lab.build(&step(2)), "/log"), "1\n2\n");
    }
}

fn secrets(lab: &Lab) {
    let mut request = lab.request(
        "RUN --mount=type=secret,id=key,mode=0440,uid=5 --mount=type=secret,id=key,env=KEY \
         cat /run/secrets/key; echo; stat -c '%a %u' /run/secrets/key; echo ${#KEY}\n",
    );
    request
        .secrets
        .insert("key".to_owned(), Secret::Value(b"hush".to_vec()));
    let built = lab.build(&request);
    assert_eq!(lab.output(), "hush\n440 5\n4\n");
    assert!(!exists(lab, &built, "/run/secrets"));
    assert!(!String::from_utf8_lossy(&built.image.config_bytes).contains("hush"));
    let missing = lab.request("RUN --mount=type=secret,id=none,required=true true\n");
    assert_eq!(lab.failure(&missing).message, "secret none: not found");
}

fn networks(lab: &Lab) {
    lab.build(&lab.request("RUN --network=none ls /sys/class/net\n"));
    assert_eq!(lab.output(), "lo\n");
}

fn cancellation(lab: &Lab) {
    let error = lab
        .try_build(&lab.request("RUN echo please cancel; sleep 1000\n"))
        .expect_err("it is cancelled");
    assert!(matches!(error, BuildError::Cancelled), "{error:?}");
    assert!(lab.in_the_making().is_empty(), "{:?}", lab.in_the_making());
}

fn an_image_as_base(lab: &Lab) {
    let mut request = lab.request("ENV V=1\nRUN echo base > /b\n");
    request.tags = vec!["mine".parse().expect("a reference")];
    let base = lab.build(&request);
    let mut child = lab.request("");
    child.dockerfile = "FROM mine\nRUN cat /b > /c; echo $V >> /c\n".to_owned();
    let built = lab.build(&child);
    assert_eq!(text(lab, &built, "/c"), "base\n1\n");
    let count = base.image.config.diff_ids().len();
    assert_eq!(
        built.image.config.diff_ids()[..count],
        *base.image.config.diff_ids()
    );
    assert_eq!(
        built.image.config.history.len(),
        base.image.config.history.len() + 1
    );
    child.dockerfile = "FROM nobody\n".to_owned();
    let error = lab.try_build(&child).expect_err("there is no such image");
    assert!(
        error
            .to_string()
            .contains("docker.io/library/nobody:latest"),
        "{error}"
    );
}

fn one_failure(lab: &Lab) {
    let request = lab.request(
        "FROM base AS long\nRUN sleep 1000\nFROM base AS short\nRUN exit 7\nFROM scratch\nCOPY --from=long / /\nCOPY --from=short / /\n",
    );
    assert_eq!(lab.failure(&request).exit_code, Some(7));
    assert!(lab.in_the_making().is_empty(), "{:?}", lab.in_the_making());
}

fn epochs(lab: &Lab) {
    let other = Lab::new();
    let digest = |lab: &Lab| {
        let mut request = lab
            .request("RUN mkdir /d; echo x > /d/x; ln -s x /d/l\nRUN date -r /d/x +%s > /time\n");
        request.source_date_epoch = Some(1_000_000_000);
        let built = lab.build(&request);
        assert_eq!(text(lab, &built, "/time"), "1000000000\n");
        assert_eq!(
            built.image.config.created.as_deref(),
            Some("2001-09-09T01:46:40Z")
        );
        *built.manifest_digest()
    };
    let first = digest(lab);
    assert_eq!(first, digest(&other));
}

/// Steps that write nothing make the same empty layer, which overlayfs would not take twice.
fn empty_layers(lab: &Lab) {
    let steps: String = (0..4)
        .map(|number| format!("RUN true {number}\n"))
        .collect();
    let built = lab.build(&lab.request(&format!("{steps}RUN echo x > /x\n")));
    assert_eq!(built.image.config.diff_ids().len(), 7);
    assert_eq!(text(lab, &built, "/x"), "x\n");
}
