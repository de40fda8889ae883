//! Stages, steps and what they are made of.

use crate::graph::{BindSource, CacheSharing, CopySource, MountKind};

use super::*;

#[test]
fn only_what_the_target_needs() {
    let text = "FROM debian AS a\nRUN a\nFROM missing AS b\nRUN b\nFROM debian AS c\nCOPY --from=a /x /\nFROM debian AS d\nRUN d\n";
    let graph = lowered_with(text, |request| request.target = Some("C".to_owned()));
    assert_eq!(
        graph.names(),
        [
            "[a 1/2] FROM docker.io/library/debian:latest",
            "[a 2/2] RUN a",
            "[c 2/2] COPY --from=a /x /"
        ]
    );
    assert_eq!(graph.graph.vertices[2].inputs(), [0, 1]);
}

#[test]
fn identical_steps_are_one() {
    let graph = lowered(
        "FROM debian AS a\nRUN same\nFROM debian AS b\nRUN same\nFROM bare\nCOPY --from=a / /\nCOPY --from=b / /b/\n",
    );
    assert_eq!(graph.runs().len(), 1);
}

#[test]
fn commands_and_their_scripts() {
    let text = "FROM debian\nRUN [\"a\", \"b\"]\nRUN ['x']\nRUN <<EOF\nmake\ninstall\nEOF\nRUN <<EOF\n#!/usr/bin/env python3\nprint()\nEOF\n\
                RUN cat <<A > /f\nhi\nA\n";
    let graph = lowered(text);
    let commands: Vec<String> = graph.runs().iter().map(|run| run.argv.join("|")).collect();
    assert_eq!(
        commands,
        [
            "a|b",
            "/bin/sh|-c|['x']",
            "/bin/sh|-c|make\ninstall\n",
            "/bin/sh|-c|/dev/pipes/EOF",
            "/bin/sh|-c|cat <<A > /f\nhi\nA"
        ]
    );
    let script = graph.runs()[3]
        .script
        .as_ref()
        .expect("a script of its own");
    assert_eq!(
        (script.name.as_str(), script.content.as_str()),
        ("/dev/pipes/EOF", "#!/usr/bin/env python3\nprint()\n")
    );
    assert_eq!(graph.names()[3], "[4/6] RUN <<EOF (make...)");
}

#[test]
fn working_directories() {
    let graph =
        lowered("FROM bare\nWORKDIR /a\nWORKDIR b/../c/\nWORKDIR $NOPE\nRUN x\nWORKDIR /\n");
    assert_eq!(graph.runs()[0].cwd, "/a/c");
    assert_eq!(
        graph.history(),
        [
            "WORKDIR /a # buildkit",
            "WORKDIR /a/c # buildkit",
            "WORKDIR /a/c # buildkit",
            "RUN /bin/sh -c x # buildkit",
            "WORKDIR /"
        ]
    );
}

#[test]
fn copies() {
    let text = "FROM debian\nARG D=dst\nCOPY --chown=web --chmod=u=rwX a b $D/\nCOPY <<one <<\"two\" .\n$D\none\n$D\ntwo\nADD x y\n";
    let graph = lowered(text);
    let [first, second, third] = graph.copies()[..] else {
        panic!("three copies")
    };
    assert_eq!(
        (
            first.destination.as_str(),
            first.chown.as_deref(),
            first.unpack
        ),
        ("/srv/dst/", Some("web"), false)
    );
    assert_eq!(first.from, BindSource::Context(String::new()));
    let files: Vec<_> = second
        .sources
        .iter()
        .map(|source| match source {
            CopySource::Inline(file) => (file.name.as_str(), file.content.as_str()),
            CopySource::Path(path) => (path.as_str(), "?"),
            CopySource::Remote { .. } => ("", "?"),
        })
        .collect();
    assert_eq!(files, [("one", "dst\n"), ("two", "$D\n")]);
    assert_eq!(second.destination, "/srv/");
    assert_eq!((third.destination.as_str(), third.unpack), ("/srv/y", true));
    assert_eq!(graph.history()[2], "COPY <<one <<two . # buildkit");
}

#[test]
fn sources_by_name_number_image_and_variable() {
    let text = "ARG WHO=a\nFROM debian AS A\nRUN a\nFROM bare\nARG WHO\nCOPY --from=A /1 /\nCOPY --from=0 /2 /\nCOPY --from=$WHO /3 /\nCOPY --from=debian:12 /4 /\n";
    let graph = lowered(text);
    let sources: Vec<_> = graph
        .graph
        .vertices
        .iter()
        .filter(|vertex| matches!(vertex.op, Op::Copy(_)))
        .map(|vertex| graph.graph.vertices[vertex.sources[0]].origin.name.as_str())
        .collect();
    assert_eq!(
        sources,
        [
            "[a 2/2] RUN a",
            "[a 2/2] RUN a",
            "[a 2/2] RUN a",
            "FROM docker.io/library/debian:12"
        ]
    );
}

#[test]
fn mounts() {
    let text = "FROM debian AS a\nFROM debian\nWORKDIR /w\nRUN --mount=type=cache,target=c,sharing=locked --mount=from=a,target=/m,rw \
                --mount=type=tmpfs,target=/t,size=1m --mount=type=secret,id=s,env=S --mount=type=ssh --mount=type=secret,id=f true\n";
    let graph = lowered(text);
    let mounts = &graph.runs()[0].mounts;
    let targets: Vec<&str> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/w/c",
            "/m",
            "/t",
            "/w",
            "/run/buildkit/ssh_agent.0",
            "/run/secrets/f"
        ]
    );
    match &mounts[0].kind {
        MountKind::Cache {
            id, sharing, mode, ..
        } => {
            assert_eq!(
                (id.as_str(), *sharing, *mode),
                ("c", CacheSharing::Locked, 0o755)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        &mounts[1].kind,
        MountKind::Bind {
            from: BindSource::Source(0),
            writable: true,
            ..
        }
    ));
    assert!(
        matches!(&mounts[3].kind, MountKind::Secret { target, .. } if !target.file && target.env.as_deref() == Some("S"))
    );
}

#[test]
fn triggers_of_a_base_run_first() {
    let graph = lowered("FROM debian AS helper\nRUN x\nFROM onbuild\nRUN y\n");
    assert_eq!(
        graph.names(),
        [
            "FROM docker.io/library/onbuild:latest",
            "[helper 1/2] FROM docker.io/library/debian:latest",
            "[helper 2/2] RUN x",
            "[stage-1 2/4] COPY --from=helper /x /y",
            "[stage-1 3/4] RUN make",
            "[stage-1 4/4] RUN y",
        ]
        .map(|name| if name.starts_with("FROM") {
            "[stage-1 1/4] FROM docker.io/library/onbuild:latest"
        } else {
            name
        })
    );
    assert!(graph.stage().config.config.on_build.is_empty());
    assert_eq!(graph.graph.vertices[4].origin.lines, None);
}

#[test]
fn no_cache_by_stage() {
    let graph = lowered_with(
        "FROM debian AS a\nRUN x\nFROM debian AS b\nRUN x\nCOPY --from=a / /\n",
        |request| {
            request.no_cache_filter = vec!["B".to_owned()];
        },
    );
    let flags: Vec<bool> = graph
        .graph
        .vertices
        .iter()
        .map(|vertex| vertex.origin.no_cache)
        .collect();
    assert_eq!(flags, [false, false, true, true]);
}

#[test]
fn several_sources_to_one_name_are_pointed_out() {
    let warned = |text: &str| !lowered(text).warnings.is_empty();
    assert!(warned("FROM debian\nCOPY a b /dst\n"));
    assert!(!warned(
        "FROM debian\nCOPY a b /dst/\nCOPY a b .\nCOPY a /dst\n"
    ));
}
