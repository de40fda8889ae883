//! Downloads that break for good are taken up by the next pull.

use super::*;

#[tokio::test]
async fn the_next_pull_fetches_only_what_is_missing() {
    for kind in &PROFILES {
        let image = TestImage::new(12, &[3_000_000, 1_200_000]);
        let registry = seeded(kind, &image);
        let (layer, all) = (&image.layers[0], image.blobs());
        let total: u64 = all.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let stop = layer.len() * 9 / 10;
        // At nine tenths the connection breaks, and nothing answers any more.
        let on = On::BlobRead { above: 2_000_000 };
        registry.fail(Fault::new(on, What::CutReply(stop)));
        registry.fail(Fault::new(on, What::Hangup).always());
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        let error = pull_into(&client(&registry), &store, &name)
            .await
            .unwrap_err();
        assert!(
            matches!(error, kiln_registry::Error::Network { .. }),
            "{}: {error}",
            kind.name
        );
        assert_sound(&store, &image, false);
        registry.heal();
        let pulled = pull_into(&client(&registry), &store, &name).await.unwrap();
        assert_sound(&store, &image, true);
        let whole_again = matches!(kind.storage, profile::Storage::Own { ranges: false });
        let most = total + if whole_again { stop as u64 } else { 0 };
        let sent = registry.blob_bytes_sent();
        // The small layer may have been under way when the first pull gave up.
        let extra = image.layers[1].len() as u64;
        assert!(sent <= most + extra, "{}: {sent} of {total}", kind.name);
        let layer_bytes = pulled.traffic.received;
        assert!(
            whole_again || layer_bytes < total - stop as u64 + extra + 10_000,
            "{}: {layer_bytes}",
            kind.name
        );
    }
}

#[tokio::test]
async fn what_an_earlier_pull_left_may_be_wrong() {
    let image = TestImage::new(13, &[3_000_000]);
    let registry = seeded(&profile::DISTRIBUTION_2, &image);
    let digest = Digest::sha256(&image.layers[0]);
    for wrong in [
        vec![7; 1_000_000],
        vec![7; image.layers[0].len()],
        vec![7; 5_000_000],
    ] {
        let root = scratch();
        let store = store(root.path());
        let mut left = store.resume_blob(&digest).unwrap().unwrap();
        std::io::Write::write_all(&mut left, &wrong).unwrap();
        drop(left);
        let name = reference(&registry.name("r:1"));
        let pulled = pull_into(&client(&registry), &store, &name).await;
        pulled.unwrap_or_else(|error| panic!("{}: {error}", wrong.len()));
        assert_sound(&store, &image, true);
    }
}

#[tokio::test]
async fn a_download_that_was_complete_is_not_asked_for() {
    let image = TestImage::new(13, &[3_000_000]);
    let registry = seeded(&profile::DISTRIBUTION_2, &image);
    let root = scratch();
    let store = store(root.path());
    let digest = Digest::sha256(&image.layers[0]);
    let mut left = store.resume_blob(&digest).unwrap().unwrap();
    std::io::Write::write_all(&mut left, &image.layers[0]).unwrap();
    drop(left);
    pull_into(
        &client(&registry),
        &store,
        &reference(&registry.name("r:1")),
    )
    .await
    .unwrap();
    assert_sound(&store, &image, true);
    assert_eq!(registry.count("GET", &digest.to_string()), 0);
}

#[tokio::test]
async fn two_pulls_at_once_do_not_wait_for_each_other() {
    let image = TestImage::new(14, &[3_000_000]);
    let registry = seeded(&profile::DISTRIBUTION_2, &image);
    let root = scratch();
    let (one, two) = (store(root.path()), store(root.path()));
    let name = reference(&registry.name("r:1"));
    let (first, second) = (client(&registry), client(&registry));
    let (first, second) = tokio::join!(
        pull_into(&first, &one, &name),
        pull_into(&second, &two, &name)
    );
    first.unwrap();
    second.unwrap();
    assert_sound(&one, &image, true);
}
