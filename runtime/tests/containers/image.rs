//! A small image: busybox, accounts, a page to serve and a volume with content.

use std::fs::File;
use std::path::{Path, PathBuf};

use kiln_store::tree::Attributes;
use kiln_store::{
    CommitOptions, Descriptor, Image, ImageConfig, ManifestKind, OverlayXattrs, Platform, Store,
    StoreOptions, TreeWriter, media_type,
};

/// Programs that are links to busybox.
const PROGRAMS: [&str; 22] = [
    "sh", "cat", "echo", "env", "false", "hostname", "httpd", "id", "ls", "nc", "printf", "pwd",
    "seq", "sleep", "stat", "stty", "touch", "true", "tty", "wc", "yes", "head",
];

/// A busybox that needs no libraries.
pub(crate) fn find_busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| {
            let linked = std::process::Command::new("ldd").arg(path).output();
            linked.is_ok_and(|output| !String::from_utf8_lossy(&output.stdout).contains("=>"))
        })
}

/// Makes a store with the image in it.
pub(crate) fn make(root: &Path, user_xattrs: bool, busybox: &Path) -> (Store, Image) {
    let overlay_xattrs = if user_xattrs {
        OverlayXattrs::User
    } else {
        OverlayXattrs::Trusted
    };
    let store = Store::open(
        &root.join("store"),
        StoreOptions {
            overlay_xattrs,
            durable: false,
        },
    )
    .unwrap();
    let nothing = store.stack(&[]).unwrap();
    let tree = store.new_tree(&nothing).unwrap();
    let mut writer = TreeWriter::new(&tree, &nothing.view(), overlay_xattrs).unwrap();
    let mode = |mode| Attributes {
        mode,
        mtime: Some((1_600_000_000, 0)),
        ..Attributes::default()
    };
    for (directory, bits) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("proc", 0o755),
        ("sys", 0o755),
        ("etc", 0o755),
        ("tmp", 0o1777),
        ("root", 0o700),
        ("www", 0o755),
        ("data", 0o750),
    ] {
        writer
            .ensure_directory(directory.as_bytes(), &mode(bits), &mode(0o755))
            .unwrap();
    }
    writer
        .file(b"bin/busybox", &File::open(busybox).unwrap(), &mode(0o755))
        .unwrap();
    for program in PROGRAMS {
        writer
            .symlink(
                format!("bin/{program}").as_bytes(),
                b"busybox",
                &mode(0o777),
            )
            .unwrap();
    }
    for (path, content, attributes) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/www:/bin/sh\n",
            mode(0o644),
        ),
        (
            "etc/group",
            "root:x:0:\nwww:x:33:\nextra:x:44:www\n",
            mode(0o644),
        ),
        ("www/index.html", "the page\n", mode(0o644)),
        (
            "data/first",
            "from the image\n",
            Attributes {
                uid: 33,
                gid: 44,
                ..mode(0o640)
            },
        ),
        ("etc/not-a-program", "text\n", mode(0o644)),
    ] {
        writer
            .file_from(path.as_bytes(), &mut content.as_bytes(), &attributes)
            .unwrap();
    }
    writer.finish().unwrap();
    let layer = store
        .commit_tree(tree, &nothing, &CommitOptions::default())
        .unwrap();
    let mut config = ImageConfig::new(&Platform::host());
    config.rootfs.diff_ids = vec![layer.diff_id];
    config.config.cmd = Some(vec!["sh".to_owned()]);
    config.config.env = vec!["PATH=/bin".to_owned(), "FROM_IMAGE=yes".to_owned()];
    config.config.volumes.insert("/data");
    let descriptor = Descriptor::new(
        media_type::OCI_LAYER,
        *layer.diff_id.digest(),
        layer.tar_size,
    );
    let image = store
        .put_image(&config, &[descriptor], ManifestKind::Oci)
        .unwrap();
    (store, image)
}
