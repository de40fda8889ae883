//! Large layers fetched in several parts at once.

use super::*;

use kiln_registry::Splitting;

/// As a client does it with layers of gigabytes, but with kilobytes and from the first part on.
const PARTS: Splitting = Splitting {
    from: 1 << 20,
    part: 100_000,
    ahead: 3,
    eager: true,
};

fn in_parts(registry: &FaultRegistry) -> Client {
    Client::new(ClientOptions {
        splitting: PARTS,
        ..support::options_as(&registry.address, "user", "pass")
    })
    .unwrap()
}

fn large() -> TestImage {
    TestImage::new(31, &[3_000_000])
}

/// Nothing of a download is left beside what it has become.
fn assert_no_rest(root: &std::path::Path) {
    let left: Vec<_> = std::fs::read_dir(root.join("partial")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_large_layer_comes_in_parts_at_every_kind() {
    for kind in &PROFILES {
        let image = large();
        let registry = seeded(kind, &image);
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        let pulled = pull_into(&in_parts(&registry), &store, &name)
            .await
            .unwrap();
        assert_sound(&store, &image, true);
        assert_no_rest(root.path());
        assert_eq!(registry.complaints(), Vec::<String>::new(), "{}", kind.name);
        let ranges = registry.ranges();
        if kind.storage == (profile::Storage::Own { ranges: false }) {
            // The answer to the first one tells.
            assert_eq!(ranges.len(), 1, "{}: {ranges:?}", kind.name);
        } else {
            assert!(ranges.len() >= 30, "{}: {ranges:?}", kind.name);
            let different = ranges.iter().collect::<std::collections::HashSet<_>>();
            assert_eq!(ranges.len(), different.len(), "{}: {ranges:?}", kind.name);
        }
        let layer = image.layers[0].len() as u64;
        let extra = pulled.traffic.received - layer;
        assert!(extra < 20_000, "{}: {extra} bytes more", kind.name);
    }
}

#[tokio::test]
async fn a_part_that_fails_is_fetched_again_alone() {
    let image = large();
    let layer = image.layers[0].len() as u64;
    for what in [
        What::Hangup,
        What::CutReply(70_000),
        answer(503),
        What::Short,
    ] {
        let registry = seeded(&profile::DISTRIBUTION_3, &image);
        let on = On::BlobRead { above: 90_000 };
        registry.fail(Fault::new(on, what.clone()).after(2).times(4));
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        pull_into(&in_parts(&registry), &store, &name)
            .await
            .unwrap();
        assert_sound(&store, &image, true);
        assert_no_rest(root.path());
        let sent = registry.blob_bytes_sent();
        let config = image.config.len() as u64;
        // No byte that has come is asked for again.
        assert!(sent <= layer + config, "{what:?}: {sent} of {layer}");
    }
}

fn answer(status: u16) -> What {
    What::Answer(status, Vec::new(), "")
}

#[tokio::test]
async fn wrong_bytes_in_a_part_are_found() {
    let image = large();
    for (times, right) in [(1, true), (usize::MAX, false)] {
        let registry = seeded(&profile::DISTRIBUTION_3, &image);
        let on = On::BlobRead { above: 90_000 };
        registry.fail(Fault::new(on, What::Corrupt).after(3).times(times));
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        let pulled = pull_into(&in_parts(&registry), &store, &name).await;
        assert_eq!(pulled.is_ok(), right, "{pulled:?}");
        assert_sound(&store, &image, right);
        assert_no_rest(root.path());
        // What was put together is fetched once more, in one stream.
        let whole = registry.count("GET", &Digest::sha256(&image.layers[0]).to_string());
        assert_eq!(whole - registry.ranges().len(), 1);
    }
}

#[tokio::test]
async fn another_version_of_the_blob_is_no_part_of_it() {
    let image = large();
    let registry = seeded(&profile::DISTRIBUTION_3, &image);
    // The first answer names one version, all others another.
    let named = |name: &str| What::AlsoSays("ETag", format!("\"{name}\""));
    let on = On::BlobRead { above: 90_000 };
    registry.fail(Fault::new(on, named("a")));
    registry.fail(Fault::new(on, named("b")).always());
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("r:1"));
    pull_into(&in_parts(&registry), &store, &name)
        .await
        .unwrap();
    assert_sound(&store, &image, true);
    assert_no_rest(root.path());
}

#[tokio::test]
async fn a_client_with_one_connection_asks_for_one_part_at_a_time() {
    let image = large();
    let registry = seeded(&profile::DISTRIBUTION_3, &image);
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("r:1"));
    let client = Client::new(ClientOptions {
        splitting: PARTS,
        transfers_per_host: 1,
        ..support::options_as(&registry.address, "user", "pass")
    });
    pull_into(&client.unwrap(), &store, &name).await.unwrap();
    assert_sound(&store, &image, true);
    assert_no_rest(root.path());
}

#[tokio::test]
async fn what_waited_for_its_turn_is_not_fetched_again() {
    let image = &large();
    breaks::with_every_kind(|kind, _| async move {
        let registry = seeded(kind, image);
        let layer = image.layers[0].len();
        // Near the end nothing answers any more.
        let on = On::BlobRead { above: 50_000 };
        let ranged = kind.storage != (profile::Storage::Own { ranges: false });
        if ranged {
            registry.fail(Fault::new(on, What::CutReply(30_000)).after(26));
            registry.fail(Fault::new(on, What::Hangup).after(26).always());
        } else {
            registry.fail(Fault::new(on, What::CutReply(layer * 9 / 10)));
            registry.fail(Fault::new(on, What::Hangup).always());
        }
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        let broken = pull_into(&in_parts(&registry), &store, &name).await;
        assert!(broken.is_err(), "{}", kind.name);
        assert_sound(&store, image, false);
        registry.heal();
        let sent_before = registry.blob_bytes_sent();
        pull_into(&in_parts(&registry), &store, &name)
            .await
            .unwrap();
        assert_sound(&store, image, true);
        assert_no_rest(root.path());
        let sent = registry.blob_bytes_sent();
        assert!(sent_before < layer as u64, "{}", kind.name);
        if ranged {
            let config = image.config.len() as u64;
            let extra = sent.saturating_sub(layer as u64 + 2 * config);
            assert!(extra <= layer as u64 / 100, "{}: {extra}", kind.name);
        }
    })
    .await;
}
