//! Manifests and indexes (image-spec manifest.md, image-index.md).
//!
//! These are for decisions. What was received is kept as its raw bytes beside them; only documents that kiln
//! composes itself are written from these types, with a fixed order of fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Descriptor, Error, Result, media_type};

/// The largest manifest or index that is read. Registries accept 4 MiB at least; some artifacts exceed that.
pub const MANIFEST_LIMIT: u64 = 8 << 20;

/// Whose media types a composed manifest uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestKind {
    /// The OCI's.
    #[default]
    Oci,
    /// Docker's, schema 2.
    Docker,
}

impl ManifestKind {
    /// The media type of the manifest.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    /// The media type of the configuration.
    #[must_use]
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// The media type of the index.
    #[must_use]
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_INDEX,
            Self::Docker => media_type::DOCKER_INDEX,
        }
    }
}

/// The manifest of one image or artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The kind of artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Fields that kiln does not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Manifest {
    /// A manifest of an image.
    #[must_use]
    pub fn new(kind: ManifestKind, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(kind.manifest().to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: None,
            extra: BTreeMap::new(),
        }
    }

    /// The bytes that are stored and sent: compact, fields in a fixed order.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| Error::Json {
            what: "a manifest",
            source,
        })
    }
}

/// A list of manifests, usually one for each platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the index itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The kind of artifact, when these are not images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Fields that kiln does not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Index {
    /// An index of these manifests.
    #[must_use]
    pub fn new(kind: ManifestKind, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(kind.index().to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: None,
            extra: BTreeMap::new(),
        }
    }

    /// The bytes that are stored and sent: compact, fields in a fixed order.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| Error::Json {
            what: "an index",
            source,
        })
    }
}

/// Go writes absent lists and maps as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
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
        let check =
            |text: String| assert!(serde_json::from_str::<Manifest>(&text).is_err(), "{text}");
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
}
