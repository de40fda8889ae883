//! Images made by hand: deterministic bytes, known digests.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kiln_store::{
    Descriptor, DiffId, Digest, ImageConfig, Index, Manifest, ManifestKind, Platform, media_type,
};

/// An image in memory.
#[derive(Clone, Debug)]
pub struct TestImage {
    pub layers: Vec<Vec<u8>>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl TestImage {
    /// An image whose layers have these sizes (of incompressible content); the same seed gives the same image.
    pub fn new(seed: u64, sizes: &[usize]) -> Self {
        Self::for_platform(seed, sizes, &Platform::host())
    }

    pub fn for_platform(seed: u64, sizes: &[usize], platform: &Platform) -> Self {
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        let mut config = ImageConfig::new(platform);
        for (position, size) in sizes.iter().enumerate() {
            let tar = tar_with(
                &format!("file-{position}"),
                &noise(seed + position as u64, *size),
            );
            config.rootfs.diff_ids.push(DiffId(Digest::sha256(&tar)));
            let blob = gzip(&tar);
            descriptors.push(Descriptor::new(
                media_type::OCI_LAYER_GZIP,
                Digest::sha256(&blob),
                blob.len() as u64,
            ));
            layers.push(blob);
        }
        config.config.env = vec![format!("SEED={seed}")];
        let config = config.to_bytes().unwrap();
        let descriptor = Descriptor::new(
            media_type::OCI_CONFIG,
            Digest::sha256(&config),
            config.len() as u64,
        );
        let manifest = Manifest::new(ManifestKind::Oci, descriptor, descriptors)
            .to_bytes()
            .unwrap();
        Self {
            layers,
            config,
            manifest,
        }
    }

    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            media_type::OCI_MANIFEST,
            self.digest(),
            self.manifest.len() as u64,
        )
    }

    /// All blobs with their digests, the configuration first.
    pub fn blobs(&self) -> Vec<(Digest, Vec<u8>)> {
        std::iter::once(&self.config)
            .chain(&self.layers)
            .map(|blob| (Digest::sha256(blob), blob.clone()))
            .collect()
    }

    /// Writes an OCI layout with this image under one name.
    pub fn write_layout(&self, directory: &Path, name: &str) {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for (digest, bytes) in self.blobs() {
            std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        }
        std::fs::write(blobs.join(self.digest().hex()), &self.manifest).unwrap();
        std::fs::write(
            directory.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let mut descriptor = self.descriptor();
        descriptor.annotations = Some(
            [(
                "org.opencontainers.image.ref.name".to_owned(),
                name.to_owned(),
            )]
            .into(),
        );
        let index = Index::new(ManifestKind::Oci, vec![descriptor]);
        std::fs::write(directory.join("index.json"), index.to_bytes().unwrap()).unwrap();
    }
}

/// An archive with one file.
pub fn tar_with(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1_000_000_000);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress (splitmix64).
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
