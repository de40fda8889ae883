//! The rungs below root and subordinate ids: a user with its own id alone, and one that may not even have that in a namespace.

use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::background::Background;
use xtask::identity::Identity;
use xtask::process::{self, Finished};

use crate::support::{TestEnv, as_root, as_user};

/// A user whom no file of the machine knows: it has no subordinate ids.
const LONE: u32 = 61_888;

/// Longest time of a command.
const LIMIT: Duration = Duration::from_secs(60);

/// Files with owners of all kinds, none of which needs a process.
const COPIES: &str = "FROM base\n\
    COPY --chown=33:44 one /data/one\n\
    COPY --chown=7:8 --chmod=0400 one /data/closed\n\
    ADD --chown=5 links.tar /links/\n\
    ADD links.tar /kept/\n\
    WORKDIR /srv/work\n\
    USER 12\n\
    WORKDIR /srv/own\n";

/// Plays a scenario as the lone user.
fn as_lone(scenario: fn(&TestEnv)) {
    let Some(lone) = lone() else {
        return println!("skipped: needs root");
    };
    scenario(&TestEnv::new(&lone));
}

fn lone() -> Option<Identity> {
    let current = Identity::current().unwrap();
    current.is_root().then(|| Identity {
        name: "kiln-lone".to_owned(),
        uid: LONE,
        gid: LONE,
        home: "/nonexistent".into(),
    })
}

/// Files of the context, a tar with a link and a pipe among them.
fn write_context(env: &TestEnv) {
    env.write("one", "one\n");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, owner: (u64, u64), link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_size(0);
        header.set_mtime(1);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        tar.append_data(&mut header, name, std::io::empty())
            .unwrap();
    };
    add("closed", tar::EntryType::Directory, 0o500, (9, 10), "");
    add("closed/file", tar::EntryType::Regular, 0o000, (9, 11), "");
    add("closed/set", tar::EntryType::Regular, 0o4111, (0, 12), "");
    add("link", tar::EntryType::Symlink, 0o777, (13, 14), "closed");
    add("pipe", tar::EntryType::Fifo, 0o600, (15, 16), "");
    env.write("links.tar", "");
    std::fs::write(
        std::path::Path::new(env.context()).join("links.tar"),
        tar.into_inner().unwrap(),
    )
    .unwrap();
}

/// The digests of an image's layers: they hold the owners.
fn layers(env: &TestEnv, image: &str) -> String {
    env.ok(&["inspect", "--format", "{{json .RootFS.Layers}}", image])
}

/// A user namespace in which no further one can be made.
struct Refusing {
    holder: Background,
}

impl Refusing {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "sleep", "600"])
            .stdin(Stdio::null());
        let holder = Background::start(&mut command).unwrap();
        let process = format!("/proc/{}", holder.id());
        let outer = std::fs::read_link("/proc/self/ns/user").unwrap();
        while std::fs::read_link(format!("{process}/ns/user")).is_ok_and(|inner| inner == outer) {
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("{process}/{map}"), "0 0 4294967295").unwrap();
        }
        let refusing = Self { holder };
        let none = "echo 0 > /proc/sys/user/max_user_namespaces";
        let mut command = refusing.command(0);
        process::run(command.args(["sh", "-c", none]), LIMIT).unwrap();
        refusing
    }

    /// A command that is run in it by a user.
    fn command(&self, uid: u32) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--user=/proc/{}/ns/user", self.holder.id()))
            .args(["--setuid", &uid.to_string(), "--setgid", &uid.to_string()])
            .arg("--");
        command
    }

    fn kiln(&self, env: &TestEnv, arguments: &[&str]) -> Finished {
        let mut command = self.command(env.identity().uid);
        command
            .arg(env.kiln().program())
            .arg("--root")
            .arg(env.kiln().root())
            .args(arguments)
            .env("HOME", "/nonexistent")
            .current_dir("/");
        process::capture(&mut command, LIMIT).unwrap()
    }
}

#[test]
fn files_are_copied_without_any_privilege() {
    as_lone(|env| {
        let root = TestEnv::new(&Identity::current().unwrap());
        let refusing = Refusing::start();
        for env in [env, &root] {
            write_context(env);
            env.write("Dockerfile", COPIES);
        }
        let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
        let mut build = vec!["build", "--tag", "copied"];
        build.extend(epoch);
        let mut as_root = build.clone();
        as_root.push(root.context());
        root.ok(&as_root);
        build.push(env.context());
        let built = refusing.kiln(env, &build);
        assert!(built.status.success(), "{}", built.stderr);
        assert_eq!(layers(env, "copied"), layers(&root, "copied"));

        // What was written down is read again: by a copy from one image to another, and by an archive.
        env.write("Dockerfile", "FROM base\nCOPY --from=copied /kept /again\n");
        root.write("Dockerfile", "FROM base\nCOPY --from=copied /kept /again\n");
        let mut build = vec!["build", "--tag", "again"];
        build.extend(epoch);
        let mut as_root = build.clone();
        as_root.push(root.context());
        root.ok(&as_root);
        build.push(env.context());
        let built = refusing.kiln(env, &build);
        assert!(built.status.success(), "{}", built.stderr);
        assert_eq!(layers(env, "again"), layers(&root, "again"));
        let archive = env.scratch().path().join("saved.tar");
        let archive = archive.to_str().unwrap();
        let saved = refusing.kiln(env, &["save", "--output", archive, "again"]);
        assert!(saved.status.success(), "{}", saved.stderr);
        root.ok(&["load", "--input", archive]);
        let owners = "stat -c '%u:%g %a' /again/closed /again/closed/* && stat -c %u:%g /again/link /again/pipe";
        assert_eq!(
            root.output_of("again", owners),
            "9:10 500\n9:11 0\n0:12 4111\n13:14\n15:16\n"
        );

        // The layers are verified, taken out, and taken in again.
        let verified = refusing.kiln(env, &["verify"]);
        assert!(
            verified.status.success(),
            "{}{}",
            verified.stdout,
            verified.stderr
        );
        let removed = refusing.kiln(env, &["rmi", "again", "copied"]);
        assert!(removed.status.success(), "{}", removed.stderr);
        let loaded = refusing.kiln(env, &["load", "--input", archive]);
        assert!(loaded.status.success(), "{}", loaded.stderr);
        assert_eq!(layers(env, "again"), layers(&root, "again"));
        let verified = refusing.kiln(env, &["verify"]);
        assert!(
            verified.status.success(),
            "{}{}",
            verified.stdout,
            verified.stderr
        );
    });
}

#[test]
fn without_any_privilege_nothing_runs_and_that_is_said() {
    as_lone(|env| {
        let refusing = Refusing::start();
        env.write("Dockerfile", "FROM base\nRUN true\n");
        let built = refusing.kiln(env, &["build", env.context()]);
        assert!(!built.status.success());
        let knob = "sysctl user.max_user_namespaces=15000";
        assert!(built.stderr.contains(knob), "{}", built.stderr);
        let ran = refusing.kiln(env, &["run", "--rm", "base", "true"]);
        assert_eq!(ran.status.code(), Some(125), "{}", ran.stderr);
        assert!(ran.stderr.contains(knob), "{}", ran.stderr);
        let doctor = refusing.kiln(env, &["doctor"]);
        assert_eq!(doctor.status.code(), Some(1));
        assert!(
            doctor
                .stdout
                .contains("steps run as: builds that only copy files")
                && doctor.stdout.contains(knob),
            "{}",
            doctor.stdout
        );
    });
}

#[test]
fn the_rungs_above_are_named() {
    as_root(|env| {
        let shown = env.ok(&["doctor"]);
        assert!(shown.starts_with("ok      steps run as: root\n"), "{shown}");
    });
    as_user(|env| {
        let shown = env.ok(&["doctor"]);
        let rung = "ok      steps run as: user namespace with subordinate ids\n";
        assert!(shown.starts_with(rung), "{shown}");
        assert!(!shown.contains("for more:"), "{shown}");
    });
}

#[test]
fn a_store_stays_as_it_was_made() {
    as_lone(|env| {
        let format = env.kiln().root().join("format");
        let text = std::fs::read_to_string(&format).unwrap();
        assert_eq!(text, "1 recorded-owners\n");
        std::fs::write(&format, "1\n").unwrap();
        let stderr = env.fails(&["build", env.context()]);
        assert!(
            stderr.contains("no subordinate ids") && stderr.contains("--root DIR"),
            "{stderr}"
        );
        std::fs::write(&format, text).unwrap();
        env.ok(&["images"]);
        let root = TestEnv::new(&Identity::current().unwrap());
        let store = env.kiln().root().to_str().unwrap();
        let other = process::capture(
            root.identity()
                .command(root.kiln().program())
                .args(["--root", store, "images"]),
            LIMIT,
        );
        let stderr = other.unwrap().stderr;
        assert!(
            stderr.contains("records owners: use it as that user"),
            "{stderr}"
        );
    });
}

/// What packages do with owners and identities when they are installed. A file says what was seen meanwhile.
const OWNERS: &str = r#"FROM base
RUN echo service:x:77:77::/home/service:/bin/sh >> /etc/passwd && echo service:x:77: >> /etc/group \
 && mkdir /home/service && chown service:service /home/service \
 && mkdir -p /srv/data/empty && touch /srv/data/file && ln -s file /srv/data/link && mkfifo /srv/pipe \
 && chown -R service:service /srv/data && chown -h 5:6 /srv/data/link && chown 3:4 /srv/pipe \
 && chmod 2750 /srv/data && chmod 4711 /srv/data/file && chown 78 /srv/data/file
RUN stat -c '%u:%g %a %n' /srv/data /srv/data/file /home/service > /seen \
 && mv /srv/data/link /srv/data/moved && cp -a /srv/data/file /srv/copied && rm /srv/data/file && touch /srv/data/file \
 && su service -s /bin/sh -c 'umask 027; id > /srv/data/who; mkdir /srv/data/own; ln -s x /srv/data/own/link; echo 1 >> /srv/data/own/file' \
 && stat -c '%u:%g %a %n' /srv/data/* >> /seen
USER service:nogroup
RUN id > /srv/data/id; cat /proc/self/status | grep -c Uid > /dev/null; mkdir -p /srv/data/a/b; touch /srv/data/a/b/c; stat -c %u:%g /srv/data/a >> /srv/data/id; chown 0 /srv/data/a/b/c; (set -C; echo new > /srv/data/a/new)
USER root
RUN rm -r /srv/data/a && mkdir -p -m 0700 /var/lib/thing && chown 12:13 /var/lib/thing && cp /etc/passwd /var/lib/thing && chown 14 /var/lib/thing/passwd && chmod 0000 /var/lib/thing/passwd
COPY --chown=service one /srv/data/one
"#;

#[test]
fn owners_are_recorded_as_root_would_set_them() {
    as_lone(|env| {
        let root = TestEnv::new(&Identity::current().unwrap());
        for env in [env, &root] {
            env.write("one", "one\n");
            env.write("Dockerfile", OWNERS);
            env.ok(&[
                "build",
                "--tag",
                "owners",
                "--build-arg",
                "SOURCE_DATE_EPOCH=1700000000",
                env.context(),
            ]);
        }
        let seen = "cat /seen /srv/data/who /srv/data/id";
        assert_eq!(
            env.output_of("owners", seen),
            root.output_of("owners", seen)
        );
        let list = "cd /; find srv var/lib home seen -exec stat -c '%n %u:%g %a %F' {} +";
        let archive = env.scratch().path().join("owners.tar");
        let archive = archive.to_str().unwrap();
        env.ok(&["save", "--output", archive, "owners"]);
        let by_root = root.output_of("owners", list);
        root.ok(&["rmi", "--force", "owners"]);
        root.ok(&["load", "--input", archive]);
        assert_eq!(root.output_of("owners", list), by_root);
        assert_eq!(layers(env, "owners"), layers(&root, "owners"));
        let verified = env.ok(&["verify"]);
        assert!(!verified.contains("damaged"), "{verified}");
    });
}

#[test]
fn what_records_owners_ends_with_its_step() {
    as_lone(|env| {
        env.image("slow", "FROM base\nRUN chown 5 /etc/passwd && sleep 0.1\n");
        env.assert_quiet();
        env.ok(&["run", "--rm", "slow", "chown", "6", "/etc/passwd"]);
        env.assert_quiet();
        let doctor = env.ok(&["doctor"]);
        assert!(
            doctor.contains("steps run as: user namespace with one id, owners recorded")
                && doctor.contains("usermod --add-subuids"),
            "{doctor}"
        );
    });
}
