//! Files of containers from outside: cp by docker's rules, export, diff.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use xtask::process;

use crate::support::{TestEnv, assert_shown, scenarios};

scenarios!(
    copies_out_of_a_container,
    copies_into_a_container,
    links_lead_nowhere_outside,
    streams_archives,
    shows_differences_and_exports,
);

const LIMIT: Duration = Duration::from_secs(60);

/// A directory of the scenario's user.
fn place(env: &TestEnv, name: &str) -> std::path::PathBuf {
    let path = env.scratch().directory(name).unwrap();
    env.identity().take(&path).unwrap();
    path
}

/// Two containers with the same files, one of which runs.
fn both(env: &TestEnv, script: &str) {
    let runs = format!("{script}; echo ready; sleep 1000");
    env.ok(&[
        "run", "-d", "--name", "runs", "-v", "/vol", "base", "sh", "-c", &runs,
    ]);
    env.ok(&[
        "run", "--name", "ended", "-v", "/vol", "base", "sh", "-c", script,
    ]);
    let deadline = std::time::Instant::now() + LIMIT;
    while env.ok(&["logs", "runs"]) != "ready\n" {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copies_out_of_a_container(env: &TestEnv) {
    both(
        env,
        "mkdir -p /d/e; echo one > /d/file; echo two > /d/e/deep; ln -s file /d/link; echo v > /vol/file; chown 1000:1000 /d/file; chmod 4750 /d/file",
    );
    for name in ["runs", "ended"] {
        let to = place(env, &format!("out-{name}"));
        let cp = |flags: &[&str], from: &str, target: &str| {
            let from = format!("{name}:{from}");
            let target = to.join(target);
            let target = format!(
                "{}{}",
                target.display(),
                if flags.contains(&"slash") { "/" } else { "" }
            );
            let mut all = vec!["cp", "--quiet"];
            all.extend(flags.iter().filter(|flag| **flag != "slash"));
            all.extend([from.as_str(), target.as_str()]);
            env.run(&all)
        };
        let read = |path: &str| fs::read_to_string(to.join(path)).unwrap();
        assert_eq!(cp(&[], "/d/file", "new").code(), 0);
        assert_eq!(read("new"), "one\n");
        let meta = fs::metadata(to.join("new")).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid()),
            (0o750, env.identity().uid)
        );
        // A directory: under a new name, into one that is there, its content only.
        assert_eq!(cp(&[], "/d", "dir").code(), 0);
        assert_eq!(read("dir/e/deep"), "two\n");
        assert_eq!(cp(&[], "d/", "dir").code(), 0);
        assert_eq!(read("dir/d/e/deep"), "two\n");
        assert_eq!(cp(&[], "/d/e/.", "dir").code(), 0);
        assert_eq!(read("dir/deep"), "two\n");
        // A link itself, or what it leads to.
        assert_eq!(cp(&[], "/d/link", "link").code(), 0);
        assert_eq!(
            fs::read_link(to.join("link")).unwrap().to_str(),
            Some("file")
        );
        assert_eq!(cp(&["-L"], "/d/link", "followed").code(), 0);
        assert_eq!(read("followed"), "one\n");
        assert_eq!(cp(&[], "/vol/file", "volume").code(), 0);
        assert_eq!(read("volume"), "v\n");
        for (from, target, flags) in [
            ("/none", "x", &[][..]),
            ("/d", "new", &[]),
            ("/d/file", "missing", &["slash"]),
            ("/d/file/", "x", &[]),
            ("/d/file", "missing/x", &[]),
        ] {
            assert_eq!(cp(flags, from, target).code(), 1, "{from} to {target}");
        }
    }
    env.ok(&["rm", "--force", "-v", "runs", "ended"]);
    env.assert_quiet();
}

fn copies_into_a_container(env: &TestEnv) {
    both(
        env,
        "mkdir -p /d; ln -s /d /to; echo old > /d/old; ln -s old /d/link",
    );
    let from = place(env, "in");
    fs::create_dir_all(from.join("tree/sub")).unwrap();
    fs::write(from.join("tree/sub/file"), "deep\n").unwrap();
    fs::write(from.join("one"), "one\n").unwrap();
    symlink("one", from.join("link")).unwrap();
    for path in ["tree/sub/file", "tree/sub", "tree", "one"] {
        env.identity().take(&from.join(path)).unwrap();
    }
    let path = |name: &str| from.join(name).display().to_string();
    for name in ["runs", "ended"] {
        let into = |target: &str| format!("{name}:{target}");
        env.ok(&["cp", &path("one"), &into("/d/new")]);
        env.ok(&["cp", &path("one"), &into("/to")]);
        env.ok(&["cp", &path("one"), &into("/d/link")]);
        env.ok(&["cp", &path("tree"), &into("/made")]);
        env.ok(&["cp", &path("tree"), &into("/d/")]);
        env.ok(&["cp", &format!("{}/.", path("tree")), &into("/d")]);
        env.ok(&["cp", &path("link"), &into("/d/as-link")]);
        env.ok(&["cp", &path("one"), &into("/vol/in-volume")]);
        env.fails(&["cp", &path("one"), &into("/none/x")]);
        env.fails(&["cp", &path("tree"), &into("/d/new")]);
        env.fails(&["cp", &path("none"), &into("/d")]);
        let list = "cat /d/new /d/one /d/old /made/sub/file /d/tree/sub/file /d/sub/file /vol/in-volume; readlink /d/link; readlink /d/as-link; stat -c '%u %g' /d/new";
        let expected = "one\none\none\ndeep\ndeep\ndeep\none\nold\none\n0 0\n";
        let seen = if name == "runs" {
            env.ok(&["exec", name, "sh", "-c", list])
        } else {
            // Another container of the same files: what was copied is in its own layer.
            env.ok(&["cp", "--quiet", "ended:/d/new", &path("back")]);
            assert_eq!(fs::read_to_string(from.join("back")).unwrap(), "one\n");
            env.ok(&["cp", "--quiet", "ended:/made/sub/file", &path("back")]);
            assert_eq!(fs::read_to_string(from.join("back")).unwrap(), "deep\n");
            expected.to_owned()
        };
        assert_eq!(seen, expected);
    }
    env.ok(&["start", "ended"]);
    env.ok(&["wait", "ended"]);
    env.ok(&["rm", "--force", "-v", "runs", "ended"]);
    env.assert_quiet();
}

fn links_lead_nowhere_outside(env: &TestEnv) {
    // Not where every container has a file system of its own.
    let outside = tempfile::tempdir_in("/tmp").unwrap();
    let outside = outside.path();
    env.identity().take(outside).unwrap();
    fs::write(outside.join("secret"), "secret\n").unwrap();
    env.identity().take(&outside.join("secret")).unwrap();
    let script = format!(
        "mkdir -p {0}; echo inside > {0}/secret; ln -s {0} /way; ln -s {0}/secret /file; ln -s /proc/self/root/{0} /magic",
        outside.display()
    );
    both(env, &script);
    let to = place(env, "to");
    let target = to.join("found").display().to_string();
    fs::write(to.join("evil"), "evil\n").unwrap();
    let evil = to.join("evil").display().to_string();
    for name in ["runs", "ended"] {
        for path in ["/way/secret", "/../../way/secret"] {
            env.ok(&["cp", "--quiet", &format!("{name}:{path}"), &target]);
            assert_eq!(fs::read_to_string(&target).unwrap(), "inside\n");
        }
        env.ok(&["cp", "--quiet", "-L", &format!("{name}:/file"), &target]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "inside\n");
        env.run(&["cp", "--quiet", &evil, &format!("{name}:/magic/secret")]);
        env.ok(&["cp", "--quiet", &evil, &format!("{name}:/way/secret")]);
        env.ok(&["cp", "--quiet", &evil, &format!("{name}:/file")]);
        assert_eq!(
            fs::read_to_string(outside.join("secret")).unwrap(),
            "secret\n"
        );
    }
    env.ok(&["rm", "--force", "-v", "runs", "ended"]);
}

fn streams_archives(env: &TestEnv) {
    both(env, "mkdir /d; echo one > /d/file");
    for name in ["runs", "ended"] {
        let archive = env.ok(&["cp", &format!("{name}:/d"), "-"]);
        let mut list = env.program("tar");
        list.args(["-t"]);
        let listed = process::capture_with_input(&mut list, archive.as_bytes(), LIMIT).unwrap();
        assert_eq!(listed.stdout, "d/\nd/file\n");
        let mut into = env.kiln().command(&["cp", "-", &format!("{name}:/vol")]);
        let done = process::capture_with_input(&mut into, archive.as_bytes(), LIMIT).unwrap();
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let back = env.ok(&["cp", &format!("{name}:/vol/d/file"), "-"]);
        assert!(back.contains("one\n"));
    }
    assert_shown!(env, env.run(&["cp", "runs:/d", "ended:/d"]), @r"
    exit code 2
    ----- stderr
    error: copying between containers is not supported
    ");
    env.ok(&["rm", "--force", "-v", "runs", "ended"]);
}

fn shows_differences_and_exports(env: &TestEnv) {
    env.image("files", "FROM base\nRUN mkdir -p /old/sub && echo a > /old/a && echo b > /old/b && echo c > /old/sub/c\n");
    let script = "echo x > /new; rm /old/a; echo y >> /old/b; mkdir -p /made/deep; rm -r /old/sub; mkdir /old/sub; touch /old/sub/d";
    env.ok(&[
        "run",
        "--name",
        "changed",
        "-v",
        "data:/data",
        "files",
        "sh",
        "-c",
        script,
    ]);
    let expected = "A /made\nA /made/deep\nA /new\nC /old\nD /old/a\nC /old/b\nC /old/sub\nD /old/sub/c\nA /old/sub/d\n";
    assert_eq!(env.ok(&["diff", "changed"]), expected);
    env.ok(&["create", "--name", "same", "files", "true"]);
    assert_eq!(env.ok(&["diff", "same"]), "");
    let file = place(env, "exported").join("root.tar");
    env.ok(&["export", "changed", "-o", file.to_str().unwrap()]);
    let mut list = env.program("tar");
    list.args(["-tf", file.to_str().unwrap()]);
    let listed = process::run(&mut list, LIMIT).unwrap().stdout;
    let has = |name: &str| listed.lines().any(|line| line == name);
    assert!(
        has("./") && has("new") && has("old/sub/d") && has("old/b"),
        "{listed}"
    );
    assert!(
        !has("old/a") && !has("old/sub/c") && !listed.contains("proc/1"),
        "{listed}"
    );
    env.ok(&["rm", "changed", "same"]);
}
