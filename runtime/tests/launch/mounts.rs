//! Mounts that a spec asks for, and what they leave behind.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use kiln_runtime::{Mount, MountSource, Propagation};

use crate::steps::{output_of, run, shell};
use crate::{Context, Test};

pub(crate) const TESTS: &[Test] = &[
    ("mounts_of_every_kind", kinds),
    ("mount_points_leave_nothing_behind", no_traces),
    ("mount_points_that_the_step_uses_stay", used_stubs),
    ("mount_points_behind_links", linked_targets),
    ("mounts_that_cannot_be", impossible),
];

fn mount(target: &str, source: MountSource) -> Mount {
    Mount {
        target: target.as_bytes().to_vec(),
        source,
        read_only: false,
        no_exec: false,
        propagation: Propagation::Private,
    }
}

fn kinds(context: &Context) {
    let shared = context.store.fresh("shared");
    fs::write(shared.join("file"), "shared\n").expect("a file");
    let host = context.store.fresh("host");
    fs::write(host.join("file"), "host\n").expect("a file");
    let script = "cat /a/b/shared/file /host/file /one; echo new > /a/b/shared/new; touch /host/x 2>/dev/null || echo ro; \
                  stat -c %a /scratch; cat /content; cat /a/b/shared/inner/deep; touch /scratch/x";
    let mut spec = shell(context, script);
    let detached = MountSource::detach_node(File::open(&host).expect("a directory").as_fd(), true)
        .expect("a mount");
    let file = MountSource::detach(&shared.join("file")).expect("a mount");
    fs::create_dir(shared.join("inner")).expect("a directory");
    spec.mounts = vec![
        mount(
            "/a/b/shared/inner/deep",
            MountSource::Content(b"deep\n".to_vec()),
        ),
        mount("/a/b/shared", MountSource::Store(shared.clone())),
        Mount {
            read_only: true,
            ..mount("/host", detached)
        },
        mount("/one", file),
        mount(
            "/scratch",
            MountSource::Tmpfs {
                size: Some(1 << 20),
                mode: 0o1770,
                owner: (0, 0),
            },
        ),
        mount("/content", MountSource::Content(b"content\n".to_vec())),
    ];
    assert_eq!(
        output_of(context, &spec),
        "shared\nhost\nshared\nro\n1770\ncontent\ndeep\n"
    );
    assert_eq!(
        fs::read_to_string(shared.join("new")).expect("a file"),
        "new\n"
    );
    let left: Vec<_> = fs::read_dir(&spec.upper)
        .expect("a directory")
        .map(|entry| entry.expect("one").file_name())
        .collect();
    assert_eq!(left, ["etc"], "only the parent of /etc/hostname");
}

fn no_traces(context: &Context) {
    let base = context.store.base();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for directory in ["etc", "root", ""] {
        let times = fs::FileTimes::new().set_modified(old).set_accessed(old);
        File::open(base.join(directory))
            .expect("a directory")
            .set_times(times)
            .expect("its times");
    }
    let mut spec = shell(context, "true");
    spec.hosts = Some(b"x\n".to_vec());
    spec.resolv_conf = Some(b"x\n".to_vec());
    spec.mounts = vec![mount(
        "/root/.cache/deep/er",
        MountSource::Tmpfs {
            size: None,
            mode: 0o755,
            owner: (0, 0),
        },
    )];
    output_of(context, &spec);
    let names = |directory: &std::path::Path| fs::read_dir(directory).expect("a directory").count();
    for directory in ["etc", "root"] {
        let left = spec.upper.join(directory);
        assert_eq!(names(&left), 0, "{directory}");
        assert_eq!(
            fs::metadata(&left).expect("it").mtime(),
            1_000_000_000,
            "{directory}"
        );
    }
}

fn used_stubs(context: &Context) {
    let mut spec = shell(context, "touch /data/beside; touch /etc/new");
    spec.mounts = vec![mount(
        "/data/inside",
        MountSource::Tmpfs {
            size: None,
            mode: 0o755,
            owner: (0, 0),
        },
    )];
    output_of(context, &spec);
    let found = |path: &str| spec.upper.join(path).exists();
    assert!(found("data/beside") && found("etc/new"));
    assert!(!found("data/inside") && !found("etc/hostname"));
}

fn linked_targets(context: &Context) {
    let base = context.store.fresh("links");
    let outside = context.store.fresh("outside");
    fs::create_dir_all(base.join("etc")).expect("a directory");
    symlink("../run/resolved/stub.conf", base.join("etc/resolv.conf")).expect("a link");
    symlink(&outside, base.join("out")).expect("a link");
    symlink("../../../../../..", base.join("up")).expect("a link");
    symlink("loop", base.join("loop")).expect("a link");
    let mut spec = shell(
        context,
        "cat /etc/resolv.conf /run/resolved/stub.conf; cat /up/content",
    );
    spec.lowers.push(base);
    spec.resolv_conf = Some(b"resolved\n".to_vec());
    spec.mounts = vec![
        mount("/up/content", MountSource::Content(b"up\n".to_vec())),
        mount("/out/content", MountSource::Content(b"out\n".to_vec())),
    ];
    assert_eq!(output_of(context, &spec), "resolved\nresolved\nup\n");
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
    assert!(!spec.upper.join("run").exists());
    spec.upper = context.store.fresh("upper");
    spec.work = context.store.fresh("work");
    spec.mounts = vec![mount("/loop/x", MountSource::Content(Vec::new()))];
    assert!(run(context, &spec).0.is_err());
}

fn impossible(context: &Context) {
    let refused = |target: &str, source: MountSource, expected: &str| {
        let mut spec = shell(context, "true");
        spec.mounts = vec![mount(target, source)];
        let error = run(context, &spec).0.expect_err("a refusal").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let empty = || MountSource::Content(Vec::new());
    let tmpfs = || MountSource::Tmpfs {
        size: None,
        mode: 0o755,
        owner: (0, 0),
    };
    refused("/proc/sys", tmpfs(), "inside /proc");
    refused("/etc", empty(), "a directory is where a file is needed");
    refused(
        "/etc/passwd",
        tmpfs(),
        "a file is where a directory is needed",
    );
    refused("relative", empty(), "not an absolute path");
    refused("/", tmpfs(), "not an absolute path");
    refused(
        "/x",
        MountSource::Store("/etc".into()),
        "not below the store",
    );
    refused(
        "/x",
        MountSource::Store(context.store.root().join("../x")),
        "not below the store",
    );
}
