//! A layer of what a container has changed, while it runs or does not.

use std::fs::File;

use kiln_store::{CommitOptions, LayerRecord};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Containers;
use super::archive::pack_changes;
use super::containers::Container;
use super::error::{Context, Error, Result};

impl Containers {
    /// Makes a layer above the container's image. One that runs should be paused meanwhile ([`Container::pause`]).
    pub fn commit(&self, container: &Container) -> Result<LayerRecord> {
        let changes = self.difference(container)?;
        let below = self
            .store
            .stack(&container.config().image.layers)
            .map_err(failed)?;
        let upper = container.upper();
        let upper = File::open(&upper).context(|| format!("opening {}", upper.display()))?;
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC).context(|| "making a pipe".to_owned())?;
        std::thread::scope(|scope| {
            let packing = scope.spawn(|| pack_changes(&upper, &changes, &mut File::from(writer)));
            let made = self.store.commit_archive(
                &mut File::from(reader),
                &below,
                &CommitOptions::default(),
            );
            // What stopped the one that writes tells more than that the archive ended early.
            match packing.join() {
                Ok(packed) => packed?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            made.map_err(failed)
        })
    }
}

fn failed(error: kiln_store::LayerError) -> Error {
    Error::Failed(format!("cannot write the layer: {error}"))
}
