//! After a push of an image that was here only unpacked: the store takes on the manifest that was pushed.

use kiln_store::{Digest, Store};

use crate::error::Result;
use crate::source::blocking;

use super::plan::Plan;

/// Records the documents of a plan and moves the names of the old image to the new one, which has the same configuration and layers.
pub(super) async fn record(store: &Store, plan: &Plan, old: &Digest) -> Result<()> {
    let (store, plan, old) = (store.clone(), plan.clone(), *old);
    blocking("the record of the image", move || {
        for image in &plan.images {
            store.put_blob(&image.document.bytes)?;
        }
        let root = plan.root();
        store.put_blob(&root.bytes)?;
        let new = root.descriptor.digest;
        store.add_image(&new)?;
        for (name, digest) in store.tags()? {
            if digest == old && name.digest().is_none() {
                store.tag(&name, &new)?;
            }
        }
        Ok(())
    })
    .await
}
