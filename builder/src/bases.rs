//! The base images of one build: each asked for once, those that are known beforehand all at the same time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use kiln_store::{Platform, Reference};

use crate::event::Sink;
use crate::host::Host;
use crate::lower::{Base, Bases, LAYOUT};
use crate::request::PullPolicy;

type Answer = Result<Arc<Base>, String>;

/// Base images by name and platform.
pub(crate) struct ImageBases<'a> {
    host: &'a Host,
    policy: PullPolicy,
    events: &'a dyn Sink,
    known: Mutex<HashMap<(String, String), Answer>>,
}

impl<'a> ImageBases<'a> {
    pub(crate) fn new(host: &'a Host, policy: PullPolicy, events: &'a dyn Sink) -> Self {
        Self {
            host,
            policy,
            events,
            known: Mutex::default(),
        }
    }

    /// Asks for several images at the same time. Failures are kept for whoever asks for that image.
    pub(crate) fn fetch(&self, images: &[(String, Platform)]) {
        match images {
            [] => {}
            [(name, platform)] => {
                let _ = self.base(name, platform);
            }
            _ => thread::scope(|scope| {
                for (name, platform) in images {
                    scope.spawn(move || {
                        let _ = self.base(name, platform);
                    });
                }
            }),
        }
    }

    fn ask(&self, name: &str, platform: &Platform) -> Answer {
        let image = match layout(name) {
            Some((directory, image)) => {
                let images = &self.host.images;
                images.layout(directory, image, platform, self.events)
            }
            None => {
                let reference: Reference = name.parse().map_err(|error| format!("{error}"))?;
                let images = &self.host.images;
                images.image(&reference, platform, self.policy, self.events)
            }
        };
        let image = image.map_err(|error| error.to_string())?;
        Ok(Arc::new(Base {
            id: image.id,
            manifest: image.manifest_digest,
            config: image.config,
            layers: image.manifest.layers,
        }))
    }
}

/// The directory and the image of a base in a layout.
fn layout(name: &str) -> Option<(&Path, &str)> {
    let (directory, image) = name.strip_prefix(LAYOUT)?.rsplit_once('#')?;
    Some((Path::new(directory), image))
}

impl Bases for ImageBases<'_> {
    fn base(&self, name: &str, platform: &Platform) -> Answer {
        let key = (name.to_owned(), platform.to_string());
        if let Some(answer) = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return answer.clone();
        }
        let answer = self.ask(name, platform);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, answer.clone());
        answer
    }
}
