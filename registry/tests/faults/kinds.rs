//! Every kind of registry, nothing wrong: what is normal there.

use super::*;

#[tokio::test]
async fn pushes() {
    for kind in &PROFILES {
        let root = scratch();
        let image = image();
        let store = stored(root.path(), &image).await;
        let registry = FaultRegistry::start(kind);
        let client = client(&registry);
        let name = reference(&registry.name("r:1"));
        let pushed = push_from(&client, &store, &image, &name)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        assert_eq!(pushed.sent, 4, "{}", kind.name);
        assert_there(&registry, "r", &image);

        // Once more, from a client that knows nothing: one question.
        registry.forget();
        let again = push_from(&self::client(&registry), &store, &image, &name)
            .await
            .unwrap();
        assert_eq!((again.sent, again.skipped), (0, 4), "{}", kind.name);
        assert_eq!(registry.upload_bytes_received(), 0, "{}", kind.name);
    }
}

#[tokio::test]
async fn pulls() {
    for kind in &PROFILES {
        let image = image();
        let registry = seeded(kind, &image);
        let root = scratch();
        let store = store(root.path());
        let pulled = pull_into(
            &client(&registry),
            &store,
            &reference(&registry.name("r:1")),
        )
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        assert_eq!(pulled.digest, image.digest(), "{}", kind.name);
        assert_sound(&store, &image, true);
        assert_eq!(registry.complaints(), Vec::<String>::new());
        let total: usize = image.blobs().iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(registry.blob_bytes_sent(), total as u64, "{}", kind.name);
    }
}

#[tokio::test]
async fn copies() {
    let image = TestImage::new(8, &[1_200_000, 10]);
    for (from, position) in PROFILES.iter().zip(1..) {
        let to = &PROFILES[position % PROFILES.len()];
        let (source, target) = (seeded(from, &image), FaultRegistry::start(to));
        let copied = copy_r((&client(&source), &source), (&client(&target), &target)).await;
        let copied = copied.unwrap_or_else(|error| panic!("{} to {}: {error}", from.name, to.name));
        assert_eq!((copied.digest, copied.sent), (image.digest(), 3));
        assert_there(&target, "copied", &image);
    }
}
