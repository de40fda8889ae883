//! Media types of manifests, indexes, configurations and layers, and what they tell.

/// An image manifest of the OCI.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index of the OCI.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image configuration of the OCI.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object that artifacts use as configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A layer that is not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The layout marker's header type.
pub const OCI_LAYOUT: &str = "application/vnd.oci.layout.header.v1+json";

/// An image manifest as Docker writes it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A manifest list, Docker's index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// An image configuration as Docker writes it.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A layer that is not compressed, as Docker writes it.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A layer compressed with gzip, as Docker writes it.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A layer compressed with zstd, Docker's words.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Docker's layer that registries do not hold.
pub const DOCKER_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// The manifest format before content addressing, recognised to be refused.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// The same, signed.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerCompression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Whether this names a list of manifests.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_INDEX)
}

/// Whether this names a manifest of one image or artifact.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Whether this names a manifest of the first schema, which kiln refuses.
#[must_use]
pub fn is_schema1(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED)
}

/// Whether this names the configuration of an image that can run.
#[must_use]
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// How this layer is packed; `None` when it is no layer of a file system.
#[must_use]
pub fn layer_compression(media_type: &str) -> Option<LayerCompression> {
    let known = media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.");
    if !known {
        return None;
    }
    if media_type.ends_with(".tar") {
        Some(LayerCompression::None)
    } else if media_type.ends_with("gzip") {
        Some(LayerCompression::Gzip)
    } else if media_type.ends_with("zstd") {
        Some(LayerCompression::Zstd)
    } else {
        None
    }
}

/// Whether this layer may live outside registries, at the addresses its descriptor names.
#[must_use]
pub fn is_foreign_layer(media_type: &str) -> bool {
    media_type.contains(".foreign.") || media_type.contains(".nondistributable.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        let check = |name: &str, expected| assert_eq!(layer_compression(name), expected, "{name}");
        check(OCI_LAYER, Some(LayerCompression::None));
        check(OCI_LAYER_GZIP, Some(LayerCompression::Gzip));
        check(OCI_LAYER_ZSTD, Some(LayerCompression::Zstd));
        check(DOCKER_LAYER, Some(LayerCompression::None));
        check(DOCKER_LAYER_GZIP, Some(LayerCompression::Gzip));
        check(DOCKER_LAYER_ZSTD, Some(LayerCompression::Zstd));
        check(DOCKER_FOREIGN_LAYER_GZIP, Some(LayerCompression::Gzip));
        check(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            Some(LayerCompression::Zstd),
        );
        check(OCI_CONFIG, None);
        check("application/vnd.oci.image.layer.v1.tar+lz4", None);
        check("text/plain", None);
        assert!(is_foreign_layer(DOCKER_FOREIGN_LAYER_GZIP));
        assert!(!is_foreign_layer(OCI_LAYER_GZIP));
        assert!(is_index(DOCKER_INDEX) && is_index(OCI_INDEX) && !is_index(OCI_MANIFEST));
        assert!(is_schema1(DOCKER_SCHEMA1_SIGNED));
    }
}
