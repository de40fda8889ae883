//! Content, names, images and records as their users see them.

use std::io::Write;

use super::*;
use crate::{Algorithm, CacheKey, Error, Index, Platform};

#[test]
fn content_is_verified_on_the_way_in_and_out() {
    let directory = scratch();
    let store = open(directory.path());
    let digest = store.put_blob(b"hello").unwrap();
    assert_eq!(store.put_blob(b"hello").unwrap(), digest);
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
    assert!(matches!(
        store.read_blob(&digest, 4),
        Err(Error::BlobTooLarge {
            size: 5,
            limit: 4,
            ..
        })
    ));
    assert_eq!(store.blob_size(&digest).unwrap(), Some(5));
    let absent = Digest::sha256(b"absent");
    assert!(matches!(
        store.open_blob(&absent),
        Err(Error::BlobNotFound { .. })
    ));

    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"hello").unwrap();
    assert!(matches!(
        writer.finish(Some(&absent)),
        Err(Error::DigestMismatch { .. })
    ));
    let long = Digest::of(Algorithm::Sha512, b"long");
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"long").unwrap();
    assert_eq!(writer.finish(Some(&long)).unwrap(), (long, 4));
    assert_eq!(store.read_blob(&long, 10).unwrap(), b"long");

    fs::write(store.blob_path(&digest), "hullo").unwrap();
    let error = store.read_blob(&digest, 5).unwrap_err();
    assert!(
        error.to_string().contains(&digest.to_string())
            && error.to_string().contains("pull or build"),
        "{error}"
    );
    assert_eq!(store.blob_size(&digest).unwrap(), None);
    store.put_blob(b"hello").unwrap();
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
}

#[test]
fn downloads_are_taken_up() {
    let directory = scratch();
    let store = open(directory.path());
    let digest = Digest::sha256(b"first second");
    let mut writer = store.resume_blob(&digest).unwrap().unwrap();
    assert_eq!(writer.size(), 0);
    assert!(
        store.resume_blob(&digest).unwrap().is_none(),
        "one at a time"
    );
    writer.write_all(b"first ").unwrap();
    drop(writer);
    let mut writer = store.resume_blob(&digest).unwrap().unwrap();
    assert_eq!(writer.size(), 6);
    writer.write_all(b"second").unwrap();
    assert_eq!(writer.finish(Some(&digest)).unwrap(), (digest, 12));
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"first second");

    let other = Digest::sha256(b"other");
    let mut writer = store.resume_blob(&other).unwrap().unwrap();
    writer.write_all(b"wrong").unwrap();
    drop(writer);
    let writer = store.resume_blob(&other).unwrap().unwrap();
    assert!(matches!(
        writer.finish(Some(&other)),
        Err(Error::DigestMismatch { .. })
    ));
    assert_eq!(
        store.resume_blob(&other).unwrap().unwrap().size(),
        0,
        "what was wrong is forgotten"
    );
}

#[test]
fn names() {
    let directory = scratch();
    let store = open(directory.path());
    let (a, b) = (put_image(&store, "a", &[]), put_image(&store, "b", &[]));
    store.tag(&reference("app"), &a.manifest_digest).unwrap();
    store
        .tag(&reference("reg.io:5000/team/app:1"), &a.manifest_digest)
        .unwrap();
    assert_eq!(
        store.resolve(&reference("app:latest")).unwrap(),
        Some(a.manifest_digest)
    );
    store.tag(&reference("app"), &b.manifest_digest).unwrap();
    assert_eq!(
        store.resolve(&reference("app")).unwrap(),
        Some(b.manifest_digest)
    );
    let pinned = reference("app:nonsense").with_digest(a.manifest_digest);
    assert_eq!(store.resolve(&pinned).unwrap(), Some(a.manifest_digest));
    assert_eq!(
        store
            .resolve(&pinned.with_digest(Digest::sha256(b"absent")))
            .unwrap(),
        None
    );
    assert_eq!(store.resolve(&reference("none")).unwrap(), None);
    let names: Vec<String> = store
        .tags()
        .unwrap()
        .iter()
        .map(|(name, _)| name.familiar())
        .collect();
    assert_eq!(names, ["app:latest", "reg.io:5000/team/app:1"]);
    assert_eq!(
        store.untag(&reference("app")).unwrap(),
        Some(b.manifest_digest)
    );
    assert_eq!(store.untag(&reference("app")).unwrap(), None);
    let images = store.images().unwrap();
    assert_eq!(images.len(), 2, "an image without a name stays");
    assert!(
        store
            .tag(&reference("app"), &Digest::sha256(b"absent"))
            .is_err()
    );

    // The longest names are hashed for their file, and found and listed all the same.
    let long = reference(&format!("reg.io/{}:{}", "a".repeat(255), "b".repeat(128)));
    store.tag(&long, &a.manifest_digest).unwrap();
    assert_eq!(store.resolve(&long).unwrap(), Some(a.manifest_digest));
    assert!(store.tags().unwrap().iter().any(|(name, _)| *name == long));
}

#[test]
fn images_by_identifier() {
    let directory = scratch();
    let store = open(directory.path());
    let image = put_image(&store, "a", &[]);
    for text in [
        image.id.0.hex(),
        image.id.0.short(),
        image.id.to_string(),
        image.manifest_digest.short(),
    ] {
        assert_eq!(
            store.find_image(&text).unwrap(),
            Some(image.manifest_digest),
            "{text}"
        );
    }
    assert_eq!(store.find_image("0123456789ab").unwrap(), None);
    assert_eq!(store.find_image("not hex").unwrap(), None);
    for number in 0..40 {
        put_image(&store, &number.to_string(), &[]);
    }
    let ambiguous = (0..16).any(|digit| {
        matches!(
            store.find_image(&format!("{digit:x}")),
            Err(Error::AmbiguousId { .. })
        )
    });
    assert!(ambiguous, "of 41 images two begin with the same digit");
}

#[test]
fn indexes_are_resolved_for_the_platform() {
    let directory = scratch();
    let store = open(directory.path());
    let mut manifests = Vec::new();
    for name in ["linux/amd64", "linux/arm64", "linux/arm/v6"] {
        let image = put_image(&store, name, &[]);
        let size = image.manifest_bytes.len() as u64;
        let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, image.manifest_digest, size);
        descriptor.platform = Some(name.parse().unwrap());
        manifests.push(descriptor);
    }
    let mut attestation = manifests[0].clone();
    attestation.platform = Some(Platform::new("unknown", "unknown", None));
    manifests.push(attestation);
    let mut missing = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b"s390x"), 5);
    missing.platform = Some(Platform::new("linux", "s390x", None));
    manifests.push(missing);
    let bytes = Index::new(ManifestKind::Oci, manifests.clone())
        .to_bytes()
        .unwrap();
    let index = store.put_blob(&bytes).unwrap();
    store.tag(&reference("multi"), &index).unwrap();

    // Nothing for this machine, and one that is here all the same.
    let foreign = Index::new(
        ManifestKind::Oci,
        vec![manifests[4].clone(), manifests[2].clone()],
    );
    let foreign = store.put_blob(&foreign.to_bytes().unwrap()).unwrap();
    store.add_image(&foreign).unwrap();
    assert!(store.image(&foreign).is_err());
    let shown = store.any_image(&foreign).unwrap();
    assert_eq!(shown.manifest_digest, manifests[2].digest);
    assert_eq!(
        store.find_image(&foreign.hex()[..20]).unwrap(),
        Some(foreign)
    );

    let author = |platform: &str| {
        store
            .image_for(&index, &platform.parse().unwrap())
            .map(|image| image.config.author)
    };
    assert_eq!(
        author("linux/amd64").unwrap().as_deref(),
        Some("linux/amd64")
    );
    assert_eq!(
        author("linux/arm64/v8").unwrap().as_deref(),
        Some("linux/arm64")
    );
    assert_eq!(
        author("linux/arm/v7").unwrap().as_deref(),
        Some("linux/arm/v6")
    );
    let none = author("windows/amd64").unwrap_err().to_string();
    assert!(
        none.contains("windows/amd64") && none.contains("linux/arm64, linux/arm/v6, linux/s390x"),
        "{none}"
    );
    assert!(!none.contains("unknown"), "{none}");
    assert!(matches!(
        author("linux/s390x"),
        Err(Error::PlatformNotStored { .. })
    ));
    // A manifest is taken as it is: whoever names it wants it.
    assert!(
        store
            .image_for(&manifests[1].digest, &"linux/amd64".parse().unwrap())
            .is_ok()
    );
}

#[test]
fn raw_bytes_stay_and_unknown_fields_survive() {
    let directory = scratch();
    let store = open(directory.path());
    let config = br#"{"architecture":"amd64", "os":"linux", "new":{"b":[1,2]}, "config":{"Env":null,"Cmd":null,"ExposedPorts":{"80/tcp":{}},"Fresh":true},
        "rootfs":{"type":"layers","diff_ids":[]},"history":null}"#;
    let config_digest = store.put_blob(config).unwrap();
    let manifest = format!(
        "{{ \"mediaType\": \"{}\", \"config\": {{\"mediaType\":\"{}\",\"digest\":\"{config_digest}\",\"size\":{},\"odd\":1}}, \"layers\": [], \"schemaVersion\": 2, \"x\": null }}",
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_CONFIG,
        config.len()
    );
    let digest = store.put_blob(manifest.as_bytes()).unwrap();
    let image = store.image(&digest).unwrap();
    assert_eq!(image.manifest_bytes, manifest.as_bytes());
    assert_eq!(image.config_bytes, config);
    assert_eq!(image.manifest.config.extra["odd"], 1);
    assert!(image.manifest.extra.contains_key("x"));
    let again: serde_json::Value =
        serde_json::from_slice(&image.config.to_bytes().unwrap()).unwrap();
    assert_eq!(again["new"]["b"][1], 2);
    assert_eq!(again["config"]["Fresh"], true);
    assert_eq!(
        again["config"]["ExposedPorts"]["80/tcp"],
        serde_json::json!({})
    );
    assert!(again["config"].get("Cmd").is_none());
    assert_eq!(
        image.config.to_bytes().unwrap(),
        image.config.clone().to_bytes().unwrap()
    );
}

#[test]
fn documents_that_are_no_images_are_refused_by_name() {
    let directory = scratch();
    let store = open(directory.path());
    let check = |text: &str, message: &str| {
        let digest = store.put_blob(text.as_bytes()).unwrap();
        let error = store.image(&digest).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(error.contains("sha256:"), "{error}");
    };
    check("not json", "cannot be used");
    check("{}", "cannot be used");
    check(
        r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#,
        "schema 1",
    );
    check(
        r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
        "both an image and an index",
    );
    check(r#"{"schemaVersion":2,"manifests":[]}"#, "no image at all");
    let empty = Digest::sha256(b"{}");
    check(
        &format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{empty}","size":2}}}}"#,
            media_type::OCI_EMPTY
        ),
        "no image that can run",
    );
    check(
        &format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{0}","digest":"{empty}","size":2}},"layers":[{{"mediaType":"x","digest":"{empty}","size":2}}]}}"#,
            media_type::OCI_CONFIG
        ),
        "names 0 layers, the manifest 1",
    );
}

#[test]
fn records() {
    let directory = scratch();
    let store = open(directory.path());
    let layer = put_layer(&store, "layer");
    let (key, other) = (CacheKey::of(b"key"), CacheKey::of(b"other"));
    assert_eq!(store.record::<String>("run", &key).unwrap(), None);
    store.put_record("run", &key, &[layer], &"body").unwrap();
    store.put_record("run", &other, &[], &7).unwrap();
    let record = store.record::<String>("run", &key).unwrap().unwrap();
    assert_eq!(
        (record.body.as_str(), record.layers, record.key),
        ("body", vec![layer], key)
    );
    assert_eq!(
        store.record::<String>("copy", &key).unwrap(),
        None,
        "kinds are apart"
    );
    assert_eq!(store.record::<u32>("run", &other).unwrap().unwrap().body, 7);
    store.put_record("run", &other, &[], &8).unwrap();
    assert_eq!(store.record::<u32>("run", &other).unwrap().unwrap().body, 8);
    assert_eq!(store.records::<serde_json::Value>("run").unwrap().len(), 2);
    assert!(store.remove_record("run", &other).unwrap());
    assert!(!store.remove_record("run", &other).unwrap());
    assert!(matches!(
        store.record::<u32>("../refs", &key),
        Err(Error::Name { .. })
    ));

    store.discard(&Held::Layer(layer)).unwrap();
    assert_eq!(
        store.record::<String>("run", &key).unwrap(),
        None,
        "a record without its layer is of no use"
    );
}
