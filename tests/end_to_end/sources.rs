//! `ADD` of files from web servers and of repositories.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::repository::{Repository, SECONDS as DATE_SECONDS};
use crate::support::web::{File, Web};
use crate::support::{TestEnv, lacks, scenarios};

scenarios!(
    files_are_added_and_asked_for_again,
    files_need_their_checksum,
    files_behind_a_login,
    repositories_are_added_by_commit,
    repositories_with_submodules_and_history,
    repositories_that_are_refused,
    steps_ask_the_agent_of_their_user,
    steps_have_hosts_and_limits,
);

/// Wed, 21 Oct 2015 07:28:00 GMT
const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

fn failure(env: &TestEnv, dockerfile: &str, arguments: &[&str]) -> String {
    let finished = env.build(dockerfile, arguments);
    assert!(!finished.status.success(), "{dockerfile}");
    finished.stderr
}

fn files_are_added_and_asked_for_again(env: &TestEnv) {
    let web = Web::start();
    let file = |content: &str, etag| File {
        etag: Some(etag),
        last_modified: Some(DATE),
        ..File::new(content)
    };
    web.put("/a/tool.txt", file("one\n", "\"1\""));
    web.put(
        "/moved",
        File {
            location: Some("/a/tool.txt".to_owned()),
            ..File::default()
        },
    );
    let dockerfile = format!(
        "FROM base\nADD {0} {1} /opt/\nADD --chmod=755 --chown=web {0} /named\nRUN date > /when; cat /proc/sys/kernel/random/uuid >> /when\n",
        web.url("/a/tool.txt?x=1"),
        web.url("/moved"),
    );
    env.image("added", &dockerfile);
    let look =
        "cd /opt && for f in tool.txt moved /named; do stat -c '%a %u %Y %n' $f; cat $f; done";
    assert_eq!(
        env.output_of("added", look),
        format!(
            "600 0 {DATE_SECONDS} tool.txt\none\n600 0 {DATE_SECONDS} moved\none\n755 1000 {DATE_SECONDS} /named\none\n"
        )
    );
    let when = env.output_of("added", "cat /when");
    let asked = web.requests();
    assert_eq!(
        asked.iter().filter(|line| line.ends_with("200")).count(),
        2,
        "{asked:?}"
    );

    env.image("added", &dockerfile);
    let asked = web.requests();
    assert!(
        asked
            .iter()
            .all(|line| line.ends_with("304") || line.ends_with("302")),
        "{asked:?}"
    );
    assert_eq!(env.output_of("added", "cat /when"), when, "all cached");

    web.put("/a/tool.txt", file("one\n", "\"2\""));
    env.image("added", &dockerfile);
    assert_eq!(
        env.output_of("added", "cat /when"),
        when,
        "the same content again"
    );

    web.put("/a/tool.txt", file("two\n", "\"3\""));
    env.image("added", &dockerfile);
    assert_eq!(
        env.output_of("added", "cat /opt/moved /named"),
        "two\ntwo\n"
    );
    assert_ne!(env.output_of("added", "cat /when"), when);

    let said = failure(
        env,
        &format!("FROM base\nADD {} /x\n", web.url("/none")),
        &[],
    );
    assert!(said.contains("404"), "{said}");
    let said = failure(
        env,
        &format!("FROM base\nCOPY {} /x\n", web.url("/none")),
        &[],
    );
    assert!(said.contains("source can't be a URL for COPY"), "{said}");
}

fn files_need_their_checksum(env: &TestEnv) {
    let web = Web::start();
    web.put("/x", File::new("x\n"));
    let right = "sha256:73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac";
    let wrong = right.replace("73cb", "73cc");
    let dockerfile = |sum: &str| {
        format!(
            "FROM base\nARG SUM={sum}\nADD --checksum=$SUM {} /y\n",
            web.url("/x")
        )
    };
    let said = failure(env, &dockerfile(&wrong), &[]);
    assert!(
        said.contains(&format!(
            "digest mismatch for {}: {right} (expected: {wrong})",
            web.url("/x")
        )),
        "{said}"
    );
    env.image("sum", &dockerfile(right));
    assert_eq!(
        env.output_of("sum", "stat -c '%a %Y' /y; cat /y"),
        "600 0\nx\n"
    );
    web.requests();
    env.image("sum", &dockerfile(right));
    assert_eq!(
        web.requests(),
        Vec::<String>::new(),
        "what is known needs no question"
    );
    let local = "FROM base\nADD --checksum=sha256:73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac Dockerfile /\n";
    assert!(failure(env, local, &[]).contains("checksum requires HTTP(S) or Git sources"));
}

fn files_behind_a_login(env: &TestEnv) {
    let (basic, token) = (Web::start(), Web::start());
    let locked = |authorization| File {
        authorization: Some(authorization),
        ..File::new("hidden\n")
    };
    basic.put("/basic", locked("Basic dXNlcjpwYXNz"));
    token.put("/token", locked("Bearer abc"));
    let host = token.url("").replace("http://", "");
    let dockerfile = format!(
        "FROM base\nADD {} /basic\nADD {} /token\n",
        basic.url("/basic").replace("http://", "http://user:pass@"),
        token.url("/token")
    );
    let said = failure(env, &dockerfile, &[]);
    assert!(said.contains("401"), "{said}");
    env.write("token", "abc\n");
    let secret = format!("id=HTTP_AUTH_TOKEN_{host},src={}/token", env.context());
    let finished = env.build(&dockerfile, &["--tag", "login", "--secret", &secret]);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        env.output_of("login", "cat /basic /token"),
        "hidden\nhidden\n"
    );
    assert!(!env.ok(&["inspect", "login"]).contains("pass"));
}

fn repositories(env: &TestEnv, web: &Web) -> PathBuf {
    let directory = env.scratch().directory("git").unwrap();
    web.put_repositories(&directory);
    directory
}

fn sample<'a>(env: &'a TestEnv, directory: &Path) -> (Repository<'a>, String, String) {
    let repository = Repository::new(env, directory.join("sample.git"));
    repository.write("README", "first\n");
    repository.write("sub/run.sh", "#!/bin/sh\necho run\n");
    let program = repository.path.join("sub/run.sh");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("../README", repository.path.join("sub/link")).unwrap();
    let first = repository.commit("first");
    repository.git(&["tag", "--annotate", "--message", "one", "v1"]);
    repository.write("README", "second\n");
    let second = repository.commit("second");
    (repository, first, second)
}

fn repositories_are_added_by_commit(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let web = Web::start();
    let directory = repositories(env, &web);
    let (repository, first, second) = sample(env, &directory);
    let url = web.url("/git/sample.git");
    let dockerfile = format!(
        "FROM base\nADD {url} /head\nADD {url}#v1 /v1\nADD {url}?ref=v1&subdir=sub /sub\nADD --checksum={} {url}#main:sub/ /main\nADD --chown=web {url}#{first} /exact\nRUN cat /proc/sys/kernel/random/uuid > /when\n",
        &second[..12]
    );
    env.image("git", &dockerfile);
    let look = "cat /head/README /v1/README /exact/README; ls -A /head /sub /main; \
        stat -c '%a %u %Y %n' /head/README /head/sub /sub/run.sh /exact/README; readlink /sub/link";
    assert_eq!(
        env.output_of("git", look),
        format!(
            "second\nfirst\nfirst\n/head:\nREADME\nsub\n\n/main:\nlink\nrun.sh\n\n/sub:\nlink\nrun.sh\n\
             644 0 {DATE_SECONDS} /head/README\n755 0 {DATE_SECONDS} /head/sub\n755 0 {DATE_SECONDS} /sub/run.sh\n644 1000 {DATE_SECONDS} /exact/README\n../README\n"
        )
    );
    let when = env.output_of("git", "cat /when");
    env.image("git", &dockerfile);
    assert_eq!(env.output_of("git", "cat /when"), when, "the same commits");
    repository.write("README", "third\n");
    repository.commit("third");
    let finished = env.build(
        &dockerfile.replace(&format!("--checksum={} ", &second[..12]), ""),
        &["--tag", "git"],
    );
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        env.output_of("git", "cat /head/README /v1/README"),
        "third\nfirst\n"
    );
    let said = failure(env, &dockerfile, &[]);
    assert!(
        said.contains(&format!(
            "expected checksum to match {}, got ",
            &second[..12]
        )),
        "{said}"
    );
    let said = failure(env, &format!("FROM base\nADD {url}#none /x\n"), &[]);
    assert!(said.contains("does not contain ref none"), "{said}");
}

fn repositories_with_submodules_and_history(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let web = Web::start();
    let directory = repositories(env, &web);
    sample(env, &directory);
    let outer = Repository::new(env, directory.join("private.git"));
    outer.write("own", "own\n");
    outer.git(&[
        "submodule",
        "--quiet",
        "add",
        &directory.join("sample.git").to_string_lossy(),
        "inner",
    ]);
    outer.git(&[
        "config",
        "--file",
        ".gitmodules",
        "submodule.inner.url",
        "../sample.git",
    ]);
    outer.commit("outer");
    let url = web.url("/git/private.git");
    let dockerfile = format!(
        "FROM base\nADD {url} /plain\nADD --keep-git-dir=true {url} /kept\nADD {url}?submodules=0 /without\n"
    );
    let said = failure(env, &dockerfile, &[]);
    assert!(said.contains("GIT_AUTH_TOKEN"), "{said}");
    env.write("token", "secret\n");
    let secret = format!("id=GIT_AUTH_TOKEN,src={}/token", env.context());
    let finished = env.build(&dockerfile, &["--tag", "modules", "--secret", &secret]);
    assert!(finished.status.success(), "{}", finished.stderr);
    let look = "cd / && ls -A plain plain/inner kept without without/inner; ! grep -r secret /kept/.git; cat /kept/.git/HEAD | wc -c";
    assert_eq!(
        env.output_of("modules", look),
        "kept:\n.git\n.gitmodules\ninner\nown\n\nplain:\n.gitmodules\ninner\nown\n\nplain/inner:\nREADME\nsub\n\nwithout:\n.gitmodules\ninner\nown\n\nwithout/inner:\n41\n"
    );
}

fn repositories_that_are_refused(env: &TestEnv) {
    if lacks("git") {
        return;
    }
    let web = Web::start();
    let directory = repositories(env, &web);
    let hooked = Repository::new(env, directory.join("hooked.git"));
    hooked.write("file", "content\n");
    let marker = env.scratch().path().join("marker");
    // A submodule whose transport would run a program, and one that lies on this machine.
    for (name, address) in [
        ("program", format!("ext::touch {}", marker.display())),
        (
            "local",
            format!("file://{}", directory.join("hooked.git").display()),
        ),
    ] {
        hooked.write(
            ".gitmodules",
            &format!("[submodule \"x\"]\n\tpath = x\n\turl = {address}\n"),
        );
        let head = if name == "program" {
            hooked.commit("first")
        } else {
            hooked.git(&["rev-parse", "HEAD"])
        };
        hooked.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},x"),
        ]);
        hooked.git(&["add", ".gitmodules"]);
        hooked.git(&["commit", "--quiet", "--message", name]);
        let said = failure(
            env,
            &format!("FROM base\nADD {} /x\n", web.url("/git/hooked.git")),
            &[],
        );
        assert!(said.contains("not allowed"), "{name}: {said}");
    }
    assert!(!marker.exists());
    for (source, reason) in [
        ("git@127.0.0.1:x/y.git", "no ssh agent was given"),
        (
            "https://example.org/x.git#--upload-pack=touch",
            "invalid git ref",
        ),
    ] {
        let said = failure(env, &format!("FROM base\nADD {source} /x\n"), &[]);
        assert!(said.contains(reason), "{source}: {said}");
    }
}

fn steps_ask_the_agent_of_their_user(env: &TestEnv) {
    use std::os::unix::net::UnixListener;
    let socket = env.scratch().directory("agent").unwrap().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    env.identity().take(&socket).unwrap();
    let dockerfile = "\
FROM base
RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && stat -c '%a %u' $SSH_AUTH_SOCK > /one
USER web
RUN --mount=type=ssh,id=other,target=/tmp/agent,uid=1000,mode=0640 stat -c '%a %u %F' /tmp/agent > /tmp/two
";
    let agent = socket.to_str().unwrap();
    let ssh = format!("default={agent}");
    let other = format!("other={agent}");
    let finished = env.build(
        dockerfile,
        &["--tag", "agent", "--ssh", &ssh, "--ssh", &other],
    );
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(
        env.output_of("agent", "cat /one /tmp/two; ls /tmp; test ! -e /run"),
        "600 0\n640 1000 socket\ntwo\n"
    );
    drop(listener);
    let said = failure(
        env,
        "FROM base\nRUN --mount=type=ssh,required echo new\n",
        &["--ssh", &ssh],
    );
    assert!(said.contains("cannot use the ssh agent default"), "{said}");
}

/// Whether steps have a network of their own: root's have where there are bridges.
fn has_network(env: &TestEnv) -> bool {
    env.identity().is_root()
        && env
            .run(&["doctor"])
            .stdout
            .contains("bridges with addresses")
}

fn steps_have_hosts_and_limits(env: &TestEnv) {
    let dockerfile = "FROM base\nRUN grep name /etc/hosts > /hosts; ulimit -n > /n; df -k /dev/shm | tail -n 1 | awk '{print $2}' > /shm; \
                      awk '$2 == \"00000000\" {print $3; exit}' /proc/net/route > /route\n";
    let arguments = [
        "--tag",
        "limits",
        "--add-host",
        "name:10.1.2.3",
        "--add-host",
        "six=[::2]",
        "--add-host",
        "gate-name:host-gateway",
        "--ulimit",
        "nofile=321",
        "--shm-size",
        "8m",
    ];
    let finished = env.build(dockerfile, &arguments);
    assert!(finished.status.success(), "{}", finished.stderr);
    // The machine is where a network of the step's own leads to; without one it is the step's own loopback.
    let route = env.output_of("limits", "cat /route");
    let gate = match u32::from_str_radix(route.trim(), 16) {
        Ok(route) if has_network(env) => std::net::Ipv4Addr::from(route.to_le_bytes()),
        _ => std::net::Ipv4Addr::LOCALHOST,
    };
    assert_eq!(
        env.output_of("limits", "cat /hosts /n /shm"),
        format!("10.1.2.3\tname\n{gate}\tgate-name\n321\n8192\n")
    );
    let said = failure(env, dockerfile, &["--add-host", "name"]);
    assert!(said.contains("bad format for add-host"), "{said}");
}
