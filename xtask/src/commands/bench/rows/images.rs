//! An image of several layers of data, for what moves images.

use anyhow::{Context, Result};
use xtask::kiln::Kiln;
use xtask::random::Random;

use super::super::ground::Ground;
use super::layer::mixed;

/// Layers of the image that is moved, and the size of each before compression.
pub const LAYERS: usize = 8;
const LAYER_MIB: usize = 128;

/// The size of each layer with the ground's effort.
pub fn layer_mib(ground: &Ground) -> usize {
    ground.effort().size(LAYER_MIB)
}

/// Files of one layer, so that unpacking makes more than one.
const FILES: usize = 2_000;

/// Builds the image in a store of its own, so that emptying others does not lose it, and pushes it to the registry. Returns its
/// name and that store.
pub fn layers(ground: &Ground) -> Result<(String, Kiln)> {
    let mut dockerfile = String::from("FROM scratch\n");
    for layer in 0..LAYERS {
        dockerfile.push_str(&format!("COPY layer-{layer} /layer-{layer}\n"));
    }
    let context = ground.context("layers", &dockerfile)?;
    let pool = mixed(layer_mib(ground) << 20);
    let mut random = Random::new(1);
    for layer in 0..LAYERS {
        let directory = context.join(format!("layer-{layer}"));
        std::fs::create_dir(&directory)?;
        for (number, piece) in pool.chunks(pool.len().div_ceil(FILES)).enumerate() {
            // Different in each layer, else all would be one blob.
            let mut content = random.number().to_le_bytes().to_vec();
            content.extend_from_slice(piece);
            let file = directory.join(number.to_string());
            std::fs::write(&file, content).with_context(|| format!("write {}", file.display()))?;
        }
    }
    let image = format!("{}/layers:1", ground.registry()?.host());
    let store = ground.another_store("mover");
    let directory = context.to_string_lossy();
    store.run(&["build", "--push", "--tag", &image, &directory])?;
    std::fs::remove_dir_all(&context)?;
    Ok((image, store))
}
