//! Variables, configuration and history.

use super::*;

#[test]
fn env_sees_what_was_before_it_and_arg_sees_itself() {
    let graph = lowered("FROM debian\nENV a=1\nENV a=2 b=$a\nARG c=3 d=$c\nRUN x\n");
    let run = graph.runs()[0];
    let seen: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| variable(run, name))
        .collect();
    assert_eq!(seen, [Some("2"), Some("1"), Some("3"), Some("3")]);
    assert_eq!(
        graph.stage().config.config.env,
        ["LANG=C", "PATH=/bin", "a=2", "b=1"]
    );
}

#[test]
fn global_arguments_feed_from_lines_and_bare_declarations() {
    let text = "ARG V=12\nARG UNUSED=u\nFROM debian:$V\nRUN one\nARG V\nRUN two\n";
    let graph = lowered(text);
    let seen: Vec<_> = graph.runs().iter().map(|run| variable(run, "V")).collect();
    assert_eq!(seen, [None, Some("12")]);
    assert_eq!(graph.names()[0], "[1/3] FROM docker.io/library/debian:12");
    assert_eq!(
        graph.history(),
        [
            "RUN /bin/sh -c one # buildkit",
            "ARG V=12",
            "RUN |1 V=12 /bin/sh -c two # buildkit"
        ]
    );
}

#[test]
fn build_arguments_beat_defaults_even_when_empty() {
    let graph = lowered_with(
        "FROM debian\nARG F=d\nARG G\nENV x=${F-z} y=${F:-z}\nRUN x\n",
        |request| {
            request.build_args.insert("F".to_owned(), String::new());
        },
    );
    let run = graph.runs()[0];
    assert_eq!(
        (variable(run, "x"), variable(run, "y"), variable(run, "G")),
        (Some(""), Some("z"), None)
    );
    assert_eq!(graph.history()[2], "ENV x= y=z");
    assert_eq!(graph.history()[3], "RUN |2 F= G= /bin/sh -c x # buildkit");
}

#[test]
fn arg_after_env_reaches_commands_and_not_the_image() {
    let graph = lowered("FROM debian\nENV X=1\nARG X=2\nRUN a\n");
    assert_eq!(variable(graph.runs()[0], "X"), Some("2"));
    assert!(graph.stage().config.config.env.contains(&"X=1".to_owned()));
}

#[test]
fn a_stage_on_a_stage_inherits() {
    let graph =
        lowered("FROM debian AS one\nARG A=1\nENV E=2\nUSER web\nWORKDIR sub\nFROM one\nRUN x\n");
    let run = graph.runs()[0];
    assert_eq!(
        (variable(run, "A"), variable(run, "E")),
        (Some("1"), Some("2"))
    );
    assert_eq!((run.user.as_str(), run.cwd.as_str()), ("web", "/srv/sub"));
    assert_eq!(
        graph.names(),
        [
            "[one 1/2] FROM docker.io/library/debian:latest",
            "[one 2/2] WORKDIR /srv/sub",
            "[stage-1 1/1] RUN x"
        ]
    );
}

#[test]
fn proxies_reach_commands_and_no_key() {
    let graph = lowered("FROM debian\nRUN a\nARG http_proxy=mine\nRUN b\n");
    let [first, second] = graph.runs()[..] else {
        panic!("two commands")
    };
    assert_eq!(
        first.hidden_env,
        [("http_proxy".to_owned(), "http://proxy".to_owned())]
    );
    assert_eq!(variable(first, "http_proxy"), None);
    assert_eq!(
        (second.hidden_env.len(), variable(second, "http_proxy")),
        (0, Some("mine"))
    );
    assert!(
        !serde_json::to_string(first)
            .expect("JSON")
            .contains("proxy")
    );
}

#[test]
fn platform_arguments() {
    let graph = lowered("FROM --platform=$TARGETPLATFORM debian\nARG TARGETARCH\nRUN x\n");
    assert_eq!(variable(graph.runs()[0], "TARGETARCH"), Some("amd64"));
    assert_eq!(graph.stage().config.architecture, "amd64");
}

#[test]
fn entrypoint_resets_an_inherited_command() {
    let config = |text: &str| lowered(text).stage().config.config.clone();
    let inherited = config("FROM debian\nENTRYPOINT [\"e\"]\n");
    assert_eq!(
        (inherited.entrypoint, inherited.cmd),
        (Some(vec!["e".to_owned()]), None)
    );
    let own = config("FROM debian\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n");
    assert_eq!(own.cmd, Some(vec!["c".to_owned()]));
    let stage = config("FROM debian AS a\nCMD [\"a\"]\nFROM a\nENTRYPOINT [\"b\"]\n");
    assert_eq!(stage.cmd, None);
    let emptied = config("FROM debian\nCMD []\nENTRYPOINT []\n");
    assert_eq!((emptied.entrypoint, emptied.cmd), (None, Some(Vec::new())));
}

#[test]
fn scratch_has_defaults() {
    let graph = lowered("FROM scratch\nLABEL a=b\\ c \"k x\"='v'\n");
    let config = &graph.stage().config;
    assert_eq!(
        config.config.env,
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    );
    assert_eq!(
        (config.os.as_str(), config.config.working_dir.as_str()),
        ("linux", "/")
    );
    assert_eq!(
        config.config.labels.get("k x").map(String::as_str),
        Some("v")
    );
    assert_eq!(
        config.config.labels.get("a").map(String::as_str),
        Some("b c")
    );
}

#[test]
fn metadata_and_its_history() {
    let text = "FROM bare\nMAINTAINER me <a@b>\nEXPOSE 80-81/TCP 9/udp\nVOLUME [\"/a\", \"/b\"]\nUSER 5:6\nSTOPSIGNAL SIGQUIT\n\
                SHELL [\"/bin/bash\", \"-ec\"]\nCMD echo \"hi\"\nHEALTHCHECK --interval=5s --retries=2 CMD x y\nONBUILD RUN z\n";
    let graph = lowered(text);
    let config = &graph.stage().config;
    assert_eq!(config.author.as_deref(), Some("me <a@b>"));
    assert_eq!(
        config.config.exposed_ports.iter().collect::<Vec<_>>(),
        ["80/tcp", "81/tcp", "9/udp"]
    );
    assert_eq!(config.config.on_build, ["RUN z"]);
    let check = config
        .config
        .healthcheck
        .as_ref()
        .expect("there is a health check");
    assert_eq!(
        (check.test.join("|"), check.interval, check.retries),
        ("CMD-SHELL|x y".to_owned(), Some(5_000_000_000), Some(2))
    );
    assert_eq!(
        graph.history(),
        [
            "MAINTAINER me <a@b>",
            "EXPOSE [80/tcp 81/tcp 9/udp]",
            "VOLUME [/a /b]",
            "USER 5:6",
            "STOPSIGNAL SIGQUIT",
            "SHELL [/bin/bash -ec]",
            r#"CMD ["/bin/bash" "-ec" "echo \"hi\""]"#,
            "HEALTHCHECK {Test:[CMD-SHELL x y] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:2}",
        ]
    );
}

#[test]
fn source_date_epoch_from_the_file_and_the_caller() {
    assert_eq!(
        lowered("ARG SOURCE_DATE_EPOCH=5\nFROM bare\n").source_date_epoch,
        Some(5)
    );
    let given = lowered_with("FROM bare\n", |request| request.source_date_epoch = Some(7));
    assert_eq!(given.source_date_epoch, Some(7));
}
