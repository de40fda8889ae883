//! Death at any moment, and many at once: this test executable runs itself as a worker and kills it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::{CacheKey, CommitOptions, Compression, Follow, PruneImages, PruneOptions};

/// Tells a copy of this executable which store to work on, and with which seed.
const WORKER: &str = "KILN_STORE_TEST_WORKER";
/// How often a worker is killed, unless [`KILLS_VARIABLE`] says otherwise.
const KILLS: u32 = 20;
const KILLS_VARIABLE: &str = "KILN_TEST_KILLS";

/// Small, fast, and the same everywhere (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn spawn(root: &Path, rounds: u64, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::crash::worker",
            "--nocapture",
            "--ignored",
        ])
        .env(WORKER, format!("{rounds} {seed} {}", root.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: builds, looks up, pulls apart and prunes until it is killed or has done its rounds.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn worker() {
    let Ok(order) = std::env::var(WORKER) else {
        return;
    };
    let mut words = order.splitn(3, ' ');
    let rounds: u64 = words.next().unwrap().parse().unwrap();
    let mut random = SplitMix(words.next().unwrap().parse().unwrap());
    let root = Path::new(words.next().unwrap());
    for _ in 0..rounds {
        let store = open(root);
        for _ in 0..1 + random.below(6) {
            step(&store, &mut random);
        }
    }
}

fn step(store: &Store, random: &mut SplitMix) {
    let name = format!("thing-{}", random.below(12));
    let key = CacheKey::of(name.as_bytes());
    match random.below(10) {
        0..=3 => {
            // A build: what the cache has is used, what it has not is made; either is there until this process ends.
            let layer = match store.record::<String>("run", &key).unwrap() {
                Some(record) => record.layers[0],
                None => {
                    let layer = put_layer(store, &name);
                    store.put_record("run", &key, &[layer], &name).unwrap();
                    layer
                }
            };
            let image = put_image(store, &name, &[layer]);
            store
                .tag(&reference(&name), &image.manifest_digest)
                .unwrap();
            let read = store.image(&image.manifest_digest).unwrap();
            assert_eq!(read.config_bytes, image.config_bytes);
            assert!(
                store.layer_path(&layer).join("fs/file").exists(),
                "a layer in use was taken"
            );
        }
        4 => {
            if let Some(digest) = store.resolve(&reference(&name)).unwrap() {
                let image = store.image(&digest).unwrap();
                assert!(
                    store.layer_path(&image.config.diff_ids()[0]).exists(),
                    "the layer of an image was taken"
                );
            }
        }
        5 => {
            store.untag(&reference(&name)).unwrap();
            store.remove_record("run", &key).unwrap();
        }
        6 => {
            let images = if random.below(2) == 0 {
                PruneImages::Dangling
            } else {
                PruneImages::None
            };
            store
                .prune(&PruneOptions {
                    images,
                    ..Default::default()
                })
                .unwrap();
        }
        7 => {
            store
                .prune(&PruneOptions {
                    keep_bytes: Some(random.below(2_000_000)),
                    ..Default::default()
                })
                .unwrap();
        }
        _ => build(store, &name, random),
    }
}

/// Two layers as a build makes them, with their blobs, one above the other, read through the stack.
fn build(store: &Store, name: &str, random: &mut SplitMix) {
    let mut layers = Vec::new();
    for level in 0..2 {
        let below = store.stack(&layers).unwrap();
        let tree = store.new_tree(&below).unwrap();
        fs::create_dir(tree.fs().join("etc")).unwrap();
        fs::write(
            tree.fs().join("etc").join(format!("{level}")),
            name.repeat(1000),
        )
        .unwrap();
        let compression = (random.below(2) == 0).then_some(Compression::GZIP);
        let options = CommitOptions {
            clamp_mtime: Some(0),
            compression,
        };
        layers.push(store.commit_tree(tree, &below, &options).unwrap().diff_id);
    }
    let view = store.stack(&layers).unwrap().view();
    for path in ["etc/0", "etc/1"] {
        let entry = view.lookup(path.as_bytes(), Follow::All).unwrap();
        assert!(entry.is_some_and(|entry| entry.meta.size as usize == name.len() * 1000));
    }
    let blob = store.layer_blob(&layers[1], Compression::GZIP).unwrap();
    store.open_blob(&blob.digest).unwrap();
    let image = put_image(store, &format!("built {name}"), &layers);
    store
        .tag(&reference(&format!("built/{name}")), &image.manifest_digest)
        .unwrap();
}

/// Whatever is named must be whole, and nothing may be left of the dead.
fn check_whole(root: &Path) {
    let store = open(root);
    for (name, digest) in store.tags().unwrap() {
        let image = store
            .image(&digest)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for layer in image.config.diff_ids() {
            assert!(
                store.layer_path(layer).join("fs").exists(),
                "{name} lacks {layer}"
            );
        }
        if name.path().starts_with("built/") {
            let view = store.stack(image.config.diff_ids()).unwrap().view();
            assert!(view.lookup(b"etc/1", Follow::All).unwrap().is_some());
        }
    }
    for record in store.records::<String>("run").unwrap() {
        let text = fs::read_to_string(store.layer_path(&record.layers[0]).join("fs/file")).unwrap();
        assert_eq!(text, record.body.repeat(10_000));
    }
    store.sweep().unwrap();
    drop(store);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    let usage = open(root).disk_usage().unwrap();
    assert!(usage.total > 0);
}

fn seed() -> u64 {
    let clock = || {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        time.unwrap().as_nanos() as u64
    };
    let given = std::env::var("KILN_TEST_SEED").ok();
    let seed = given.map_or_else(clock, |text| text.parse().unwrap());
    println!("seed {seed}");
    seed
}

#[test]
fn killed_at_any_moment() {
    let directory = scratch();
    let root = directory.path().join("store");
    let mut random = SplitMix(seed());
    let kills = std::env::var(KILLS_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    for _ in 0..kills {
        let mut worker = spawn(&root, u64::MAX, random.next());
        std::thread::sleep(Duration::from_micros(5_000 + random.below(60_000)));
        if let Some(status) = worker.try_wait().unwrap() {
            panic!("the worker ended by itself: {status}: {}", stderr(worker));
        }
        worker.kill().unwrap();
        worker.wait().unwrap();
        check_whole(&root);
    }
    println!("counted {kills} kills");
}

#[test]
fn many_at_once() {
    let directory = scratch();
    let root = directory.path().join("store");
    let mut random = SplitMix(seed());
    let workers: Vec<Child> = (0..8).map(|_| spawn(&root, 40, random.next())).collect();
    for mut worker in workers {
        let status = worker.wait().unwrap();
        assert!(status.success(), "{}", stderr(worker));
    }
    check_whole(&root);
}

fn stderr(worker: Child) -> String {
    String::from_utf8_lossy(&worker.wait_with_output().unwrap().stderr).into_owned()
}
