//! Fixed bytes and fields that nobody knows yet.

use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn full_descriptor() -> String {
    format!(
        r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":18446744073709551615,"urls":["https://x"],"annotations":{{"k":"v"}},"data":"aGk=","platform":{{"architecture":"arm","os":"linux","os.version":"1","os.features":["f"],"variant":"v7"}},"artifactType":"c/d"}}"#
    )
}

fn full_manifest() -> String {
    let descriptor = full_descriptor();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"m/n","artifactType":"o/p","config":{descriptor},"layers":[{descriptor},{descriptor}],"subject":{descriptor},"annotations":{{"a":"b"}}}}"#
    )
}

fn full_index() -> String {
    let descriptor = full_descriptor();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"m/n","artifactType":"o/p","manifests":[{descriptor}],"subject":{descriptor},"annotations":{{"a":"b"}}}}"#
    )
}

#[test]
fn bytes_are_fixed() {
    let manifest: Manifest = serde_json::from_str(&full_manifest()).unwrap();
    assert_eq!(manifest.to_bytes().unwrap(), full_manifest().as_bytes());
    let index: Index = serde_json::from_str(&full_index()).unwrap();
    assert_eq!(index.to_bytes().unwrap(), full_index().as_bytes());
    let config = Descriptor::new(media_type::OCI_CONFIG, DIGEST.parse().unwrap(), 2);
    let bytes = Manifest::new(ManifestKind::Oci, config, Vec::new())
        .to_bytes()
        .unwrap();
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{DIGEST}","size":2}},"layers":[]}}"#,
        media_type::OCI_MANIFEST,
        media_type::OCI_CONFIG
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn refused() {
    let check = |text: String| assert!(serde_json::from_str::<Manifest>(&text).is_err(), "{text}");
    check(full_manifest().replace(DIGEST, "sha256:12"));
    check(full_manifest().replace("18446744073709551615", "-1"));
    check(full_manifest().replace("18446744073709551615", "\"1\""));
    check(r#"{"schemaVersion":2}"#.to_owned());
}

proptest! {
    #[test]
    fn unknown_fields_survive(
        place in prop::sample::select(vec!["", "/config", "/layers/1", "/subject"]),
        name in "x[a-z.]{1,8}",
        number in any::<i64>(),
    ) {
        let mut document: Value = serde_json::from_str(&full_manifest()).unwrap();
        document.pointer_mut(place).unwrap()[name] = serde_json::json!({ "deep": [number] });
        let manifest: Manifest = serde_json::from_value(document.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&manifest).unwrap(), document);
    }
}
