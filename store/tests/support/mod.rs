//! Helpers of the layer tests: scratch stores, snapshots of trees, hand-made archives, a seeded generator.

#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr)]

pub mod umoci;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_store::{
    Compression, Descriptor, DiffId, Digest, Entry, LayerRecord, Limits, OverlayXattrs, Store,
    StoreOptions, View,
};

/// A scratch directory in memory where there is one, because thousands of small files are slow on disks.
pub fn scratch() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::Builder::new()
            .prefix("kiln-test-")
            .tempdir_in(shm)
            .unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The overlay family this user can write.
pub fn family() -> OverlayXattrs {
    if is_root() {
        OverlayXattrs::Trusted
    } else {
        OverlayXattrs::User
    }
}

pub fn store(root: &Path) -> Store {
    let options = StoreOptions {
        overlay_xattrs: family(),
        durable: false,
    };
    Store::open(root, options).unwrap()
}

/// The ids that files of this user have.
pub fn ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// True when a program is there; otherwise the skip is shown.
pub fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("skipped: needs {program}");
    }
    found
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One entry, in a form that two trees can be compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: &'static str,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub rdev: u64,
    pub content: String,
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// The first name of the same inode.
    pub same_as: Option<String>,
}

pub type Snapshot = BTreeMap<String, Node>;

fn text(bytes: &[u8]) -> String {
    kiln_store::tree::path::display(bytes)
}

/// A plain directory, read with the standard library and nothing of ours.
pub fn snapshot_directory(root: &Path) -> Snapshot {
    let mut nodes = Snapshot::new();
    let mut names = HashMap::new();
    visit(root, root, &mut nodes, &mut names);
    nodes
}

fn visit(root: &Path, path: &Path, nodes: &mut Snapshot, names: &mut HashMap<(u64, u64), String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let name = text(path.strip_prefix(root).unwrap().as_os_str().as_bytes());
    let kind = meta.file_type();
    let (kind, content) = if kind.is_dir() {
        ("directory", String::new())
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        ("symlink", text(target.as_os_str().as_bytes()))
    } else if kind.is_file() {
        ("file", hash(&fs::read(path).unwrap()))
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else if kind.is_char_device() {
        ("character", String::new())
    } else if kind.is_block_device() {
        ("block", String::new())
    } else {
        ("socket", String::new())
    };
    let same_as = (meta.nlink() > 1 && kind != "directory").then(|| {
        names
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| name.clone())
            .clone()
    });
    let node = Node {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: (meta.mtime(), meta.mtime_nsec() as u32),
        rdev: meta.rdev(),
        content,
        xattrs: xattrs(path),
        same_as: same_as.filter(|first| *first != name),
    };
    let is_directory = node.kind == "directory";
    nodes.insert(name, node);
    if is_directory {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for entry in entries {
            visit(root, &entry, nodes, names);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0_u8; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found: Vec<(String, Vec<u8>)> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter(|name| !text(name).contains(".overlay."))
        .map(|name| {
            let mut value = vec![0_u8; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (text(name), value)
        })
        .collect();
    found.sort();
    found
}

/// The same through a view.
pub fn snapshot_view(view: &View) -> Snapshot {
    let mut nodes = Snapshot::new();
    let mut names: HashMap<(u64, u64), String> = HashMap::new();
    let root = view.root().unwrap();
    let mut add = |entry: &Entry| {
        use kiln_store::Kind;
        let name = entry.display();
        let name = if entry.path.is_empty() {
            text(b"")
        } else {
            name
        };
        let meta = &entry.meta;
        let (kind, content) = match meta.kind {
            Kind::Directory => ("directory", String::new()),
            Kind::Symlink => ("symlink", text(&view.read_link(entry).unwrap())),
            Kind::File => ("file", hash(&view.read_file(entry, u64::MAX - 1).unwrap())),
            Kind::Fifo => ("fifo", String::new()),
            Kind::CharacterDevice => ("character", String::new()),
            Kind::BlockDevice => ("block", String::new()),
            Kind::Socket => ("socket", String::new()),
        };
        let same_as = (meta.nlink > 1 && kind != "directory").then(|| {
            names
                .entry((meta.dev, meta.ino))
                .or_insert_with(|| name.clone())
                .clone()
        });
        let xattrs = view.xattrs(entry).unwrap();
        let node = Node {
            kind,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: (meta.mtime, meta.mtime_nsec),
            rdev: meta.rdev,
            content,
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| (text(&name), value))
                .collect(),
            same_as: same_as.filter(|first| *first != name),
        };
        nodes.insert(name, node);
    };
    add(&root);
    view.walk(&root, &mut |entry| {
        add(entry);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    nodes
}

fn hash(bytes: &[u8]) -> String {
    format!("{} {}", bytes.len(), Digest::sha256(bytes).short())
}

/// What differs, for messages that can be read.
pub fn assert_same(left: &Snapshot, right: &Snapshot, what: &str) {
    let mut differences = Vec::new();
    for name in left.keys().chain(right.keys()) {
        if left.get(name) != right.get(name) {
            differences.push(format!(
                "{name}:\n  {:?}\n  {:?}",
                left.get(name),
                right.get(name)
            ));
        }
    }
    differences.dedup();
    assert!(
        differences.is_empty(),
        "{what}:\n{}",
        differences[..differences.len().min(12)].join("\n")
    );
}

/// Leaves out what comparisons with other tools can't hold on to.
pub fn without(mut snapshot: Snapshot, change: impl Fn(&str, &mut Node)) -> Snapshot {
    for (name, node) in &mut snapshot {
        change(name, node);
    }
    snapshot
}

/// Makes an archive by hand.
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn raw(
        &mut self,
        name: &[u8],
        kind: u8,
        content: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> &mut Self {
        let mut header = tar::Header::new_ustar();
        let length = name.len().min(100);
        header.as_old_mut().name[..length].copy_from_slice(&name[..length]);
        header.as_old_mut().linkflag[0] = kind;
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        let (uid, gid) = ids();
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(&mut self, name: &str, content: &str) -> &mut Self {
        self.raw(name.as_bytes(), b'0', content.as_bytes(), |_| {})
    }

    pub fn directory(&mut self, name: &str, mode: u32) -> &mut Self {
        self.raw(name.as_bytes(), b'5', b"", |header| header.set_mode(mode))
    }

    pub fn link(&mut self, name: &str, kind: u8, target: &str) -> &mut Self {
        self.raw(name.as_bytes(), kind, b"", |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        })
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.link(name, b'2', target)
    }

    pub fn hard_link(&mut self, name: &str, target: &str) -> &mut Self {
        self.link(name, b'1', target)
    }

    pub fn whiteout(&mut self, name: &str) -> &mut Self {
        self.file(name, "")
    }

    pub fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.raw(b"pax", b'x', &body, |_| {})
    }

    pub fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

/// Takes an archive in, as it is.
pub fn ingest(store: &Store, tar: &[u8]) -> kiln_store::layer::Result<LayerRecord> {
    let digest = Digest::sha256(tar);
    let blob = Descriptor::new(Compression::None.media_type(), digest, tar.len() as u64);
    store.ingest_layer(&mut &tar[..], &blob, &DiffId(digest), &Limits::default())
}

/// Takes a blob of a store into another store.
pub fn transfer(
    from: &Store,
    to: &Store,
    record: &LayerRecord,
    compression: Compression,
) -> LayerRecord {
    let blob = from.layer_blob(&record.diff_id, compression).unwrap();
    let mut file = from.open_blob(&blob.digest).unwrap();
    to.ingest_layer(&mut file, &blob, &record.diff_id, &Limits::default())
        .unwrap()
}

/// A small generator whose seed is printed, so that every failure can be had again.
pub struct Random(pub u64);

impl Random {
    pub fn new(what: &str) -> Self {
        let seed = match std::env::var("KILN_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
        {
            Some(seed) => seed,
            None => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64,
        };
        eprintln!("{what}: seed {seed}");
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 33) as usize) % limit
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 40) as u8).collect()
    }
}

/// An overlay mount of a stack, or of a stack with a tree on top; gone when dropped.
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    pub fn stack(lowers: &[PathBuf], upper: Option<(&Path, &Path)>, point: &Path) -> Option<Self> {
        if !is_root() {
            eprintln!("skipped: needs root to mount an overlay");
            return None;
        }
        fs::create_dir_all(point).unwrap();
        use rustix::mount::{
            FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
            fsconfig_set_string, fsmount, fsopen, move_mount,
        };
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        for lower in lowers.iter().rev() {
            fsconfig_set_string(&context, "lowerdir+", lower).unwrap();
        }
        // A mount without upper needs two lower directories.
        let empty = point.with_extension("empty");
        if upper.is_none() && lowers.len() < 2 {
            fs::create_dir_all(&empty).unwrap();
            fsconfig_set_string(&context, "lowerdir+", &empty).unwrap();
        }
        if let Some((upper, work)) = upper {
            fsconfig_set_string(&context, "upperdir", upper).unwrap();
            fsconfig_set_string(&context, "workdir", work).unwrap();
        }
        for option in ["index", "metacopy", "xino"] {
            fsconfig_set_string(&context, option, "off").unwrap();
        }
        fsconfig_set_string(&context, "redirect_dir", "nofollow").unwrap();
        fsconfig_create(&context).unwrap();
        let mount = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
        .unwrap();
        move_mount(
            &mount,
            c"",
            rustix::fs::CWD,
            point,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .unwrap();
        Some(Self {
            point: point.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that another test is just starting holds our descriptors until it executes its program.
        for _ in 0..1000 {
            match rustix::mount::unmount(&self.point, rustix::mount::UnmountFlags::empty()) {
                Err(rustix::io::Errno::BUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(2))
                }
                done => return done.unwrap(),
            }
        }
        panic!("{} stays busy", self.point.display());
    }
}
