//! Volumes, binds and memory.

use std::fs;

use kiln_runtime::container::{Attach, CreateOptions};

use crate::Test;
use crate::support::{Context, directory, exec};

pub(crate) const TESTS: &[Test] = &[
    (
        "an_image_volume_is_copied_up_and_removed_on_request",
        anonymous,
    ),
    ("a_named_volume_outlives_its_containers", named),
    ("a_host_directory_is_bound", bound),
    ("read_only_mounts_are_read_only", read_only),
    ("memory_is_mounted", memory),
];

fn anonymous(context: &Context) {
    let container = context.detached(&context.shell("exec sleep 1000"));
    assert_eq!(
        exec(
            &container,
            "cat /data/first; stat -c '%a %u %g' /data /data/first"
        )
        .stdout,
        "from the image\n750 0 0\n640 33 44\n"
    );
    assert_eq!(exec(&container, "echo more > /data/second").code(), 0);
    container.stop(Some(0), None).unwrap();
    drop(context.start(&container, Attach::default()));
    assert_eq!(exec(&container, "cat /data/second").stdout, "more\n");
    let volumes = context.containers.volumes().unwrap();
    let all = volumes.list().unwrap();
    assert_eq!((all.len(), all[0].anonymous), (1, true));
    assert!(
        volumes
            .remove(&all[0].name, &[container.config().clone()])
            .unwrap_err()
            .to_string()
            .contains("volume is in use")
    );
    container.remove(true, true).unwrap();
    assert!(volumes.list().unwrap().is_empty());
}

fn named(context: &Context) {
    let options = |script: &str| CreateOptions {
        volumes: vec!["kept:/data".to_owned()],
        ..context.shell(script)
    };
    assert_eq!(
        context
            .run(&options("cat /data/first; echo one > /data/mine"))
            .stdout,
        "from the image\n"
    );
    context.remove_all();
    assert_eq!(context.run(&options("cat /data/mine")).stdout, "one\n");
    let nocopy = CreateOptions {
        volumes: vec!["empty:/data:nocopy".to_owned()],
        ..context.shell("ls -A /data")
    };
    assert_eq!(context.run(&nocopy).stdout, "");
    context.remove_all();
    let volumes = context.containers.volumes().unwrap();
    for name in ["kept", "empty"] {
        volumes.remove(name, &[]).unwrap();
    }
}

fn bound(context: &Context) {
    let host = directory();
    fs::write(host.path().join("file"), "of the host\n").unwrap();
    let path = host.path().display();
    let options = CreateOptions {
        volumes: vec![
            format!("{path}:/new/place"),
            format!("{path}/file:/etc/file:ro"),
        ],
        ..context.shell("cat /new/place/file /etc/file; echo back > /new/place/answer")
    };
    assert_eq!(context.run(&options).stdout, "of the host\nof the host\n");
    assert_eq!(
        fs::read_to_string(host.path().join("answer")).unwrap(),
        "back\n"
    );
}

fn read_only(context: &Context) {
    let host = directory();
    let options = CreateOptions {
        volumes: vec![format!("{}:/mnt:ro", host.path().display())],
        read_only: true,
        tmpfs: vec!["/run".to_owned()],
        ..context.shell("touch /mnt/x; touch /x; touch /run/x && echo memory")
    };
    let outcome = context.run(&options);
    assert_eq!(outcome.stdout, "memory\n");
    assert_eq!(
        outcome.stderr.matches("Read-only file system").count(),
        2,
        "{}",
        outcome.stderr
    );
}

fn memory(context: &Context) {
    let options = CreateOptions {
        tmpfs: vec!["/scratch:size=64k,mode=700".to_owned()],
        ..context.shell("stat -c %a /scratch; stat -f -c %T /scratch")
    };
    assert_eq!(context.run(&options).stdout, "700\ntmpfs\n");
}
