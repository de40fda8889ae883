//! Base images from the store, else from their registry: the one place of this crate that talks to registries.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use kiln_registry::{Client, Layout, ManifestName, PullOptions, pull, pull_from};
use kiln_store::{Digest, Error, Image, Platform, Reference, Store};
use tokio::runtime::Handle;

use crate::event::{Event, Sink};
use crate::host::{ImageError, Images};
use crate::request::PullPolicy;

/// Makes a client and names the runtime that it belongs to, or gives those that are there already. Called when an image has
/// to be fetched: a build whose bases are all in the store makes no connection and starts no threads for one.
pub type ClientProvider = Arc<dyn Fn() -> Result<(Client, Handle), String> + Send + Sync>;

/// Images of a store, pulled into it when they are not there.
#[derive(Clone)]
pub struct RegistryImages {
    store: Store,
    client: ClientProvider,
}

impl fmt::Debug for RegistryImages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegistryImages")
            .field("store", &self.store.root())
            .finish_non_exhaustive()
    }
}

impl RegistryImages {
    /// Takes the store, and a way to a client. Pulls block the calling thread, which must not be one of the client's runtime.
    pub fn new(store: Store, client: ClientProvider) -> Self {
        Self { store, client }
    }

    /// The local image, if all of it is there.
    fn local(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<Image>, ImageError> {
        let Some(digest) = self.store.resolve(reference).map_err(failed)? else {
            return Ok(None);
        };
        let image = match self.store.image_for(&digest, platform) {
            Ok(image) => image,
            // Parts of it were never fetched, or are gone: the registry has them.
            Err(Error::BlobNotFound { .. } | Error::PlatformNotStored { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        for layer in image.config.diff_ids() {
            if self.store.layer(layer).map_err(failed)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(image))
    }
}

fn failed(error: impl fmt::Display) -> ImageError {
    ImageError::Failed(error.to_string())
}

impl Images for RegistryImages {
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        policy: PullPolicy,
        events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        let reference = reference.clone().with_default_tag();
        if policy != PullPolicy::Always
            && let Some(image) = self.local(&reference, platform)?
        {
            return Ok(image);
        }
        if policy == PullPolicy::Never {
            return Err(ImageError::NotFound(
                "it is not in the store, and --pull=never forbids to fetch it".to_owned(),
            ));
        }
        let name = reference.to_string();
        events.event(Event::Pulling { reference: &name });
        let began = std::time::Instant::now();
        let forward = |event: kiln_registry::Event| events.event(Event::Registry(&event));
        let options = PullOptions::default();
        let (client, runtime) = (self.client)().map_err(ImageError::Failed)?;
        let pulling = pull(
            &client,
            &self.store,
            &reference,
            platform,
            &options,
            &forward,
        );
        let pulled = runtime.block_on(pulling).map_err(|error| match error {
            kiln_registry::Error::NotFound(_) => ImageError::NotFound(error.to_string()),
            error => failed(error),
        })?;
        events.event(Event::Pulled {
            reference: &name,
            duration: began.elapsed(),
        });
        Ok(pulled.image)
    }

    fn layout(
        &self,
        directory: &Path,
        image: &str,
        platform: &Platform,
        events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        let layout = Layout::open(directory).map_err(failed)?;
        let name = match image.parse::<Digest>() {
            Ok(digest) => ManifestName::Digest(digest),
            Err(_) => ManifestName::Tag(image.to_owned()),
        };
        let forward = |event: kiln_registry::Event| events.event(Event::Registry(&event));
        let (_, runtime) = (self.client)().map_err(ImageError::Failed)?;
        let pulling = pull_from(&layout, &name, &self.store, platform, &[], &forward);
        let pulled = runtime.block_on(pulling).map_err(|error| match error {
            kiln_registry::Error::NotFound(_) => ImageError::NotFound(error.to_string()),
            error => failed(error),
        })?;
        Ok(pulled.image)
    }
}
