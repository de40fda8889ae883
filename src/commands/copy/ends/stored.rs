//! Copies from and to the store, which has ways of its own.

use kiln_registry::{Copied, CopyOptions, Place, Platforms, PushOptions};
use kiln_store::{Platform, Reference};

use super::{Ends, Source};
use crate::error::CommandError;
use crate::host::Host;

impl Ends {
    /// Copies where the store is one of the ends and has its own way: into it everything is unpacked, and to a registry layers go compressed.
    pub async fn through_store(
        &self,
        from: &Source,
        target: &Place,
        tags: &[String],
        options: &CopyOptions,
        events: kiln_registry::Events<'_>,
    ) -> Result<Option<Copied>, CommandError> {
        let converts = options.conversion.to_oci || options.conversion.compression.is_some();
        match (target, &from.stored) {
            (Place::Store(name), _) if !converts && !options.dry_run => {
                let host = Host::new(&self.settings, &self.tls)?;
                let copied = into_store(&host, from, name, tags, options, events).await?;
                self.note_what_stays(from, &copied, options).await?;
                host.settle_later()?;
                Ok(Some(copied))
            }
            (Place::Registry(reference), Some((host, digest))) if !converts && !options.dry_run => {
                let reference = reference.clone().with_default_tag();
                let client = self.target_client(reference.domain())?;
                let push = PushOptions {
                    tags: tags.to_vec(),
                    platforms: self.platforms.clone(),
                    ..PushOptions::default()
                };
                let pushed =
                    kiln_registry::push(&client, &host.store, digest, &reference, &push, events)
                        .await?;
                Ok(Some(Copied {
                    digest: pushed.digest,
                    source: *digest,
                    sent: pushed.sent,
                    sent_bytes: pushed.traffic.sent,
                    mounted: pushed.mounted,
                    skipped: pushed.skipped,
                    manifests: 1,
                    companions: 0,
                    traffic: pushed.traffic,
                }))
            }
            _ => Ok(None),
        }
    }
}

impl Ends {
    /// The store keeps nothing that points at an image from outside: who relies on it must hear that.
    async fn note_what_stays(
        &self,
        from: &Source,
        copied: &Copied,
        options: &CopyOptions,
    ) -> Result<(), CommandError> {
        if !options.companions || !from.repository.keeps_companions() {
            return Ok(());
        }
        let found = from.repository.companions(&[copied.source]).await?;
        let number = found.referrers.len() + found.tags.len();
        if number > 0 {
            self.note(format!(
                "{number} signatures, attestations or other referrers stay at the source: the store keeps none (`--referrers=false` does not look for them)"
            ));
        }
        Ok(())
    }
}

/// Unpacks an image into the store, for each platform that is wanted.
async fn into_store(
    host: &Host,
    from: &Source,
    name: &str,
    tags: &[String],
    options: &CopyOptions,
    events: kiln_registry::Events<'_>,
) -> Result<Copied, CommandError> {
    let reference = name.parse::<Reference>()?.with_default_tag();
    let mut names = vec![reference.clone()];
    for tag in tags {
        names.push(reference.with_tag(tag)?);
    }
    let platforms = match &options.platforms {
        Platforms::One(platform) => vec![platform.clone()],
        Platforms::Some(several) => several.clone(),
        Platforms::All => all_platforms(from).await?,
    };
    let mut copied: Option<Copied> = None;
    for platform in &platforms {
        let pulled = kiln_registry::pull_from(
            from.repository.as_ref(),
            &from.name,
            &host.store,
            platform,
            &names,
            events,
        )
        .await?;
        let total = copied.get_or_insert(Copied {
            digest: pulled.digest,
            source: pulled.digest,
            sent: 0,
            sent_bytes: 0,
            mounted: 0,
            skipped: 0,
            manifests: 1,
            companions: 0,
            traffic: pulled.traffic,
        });
        total.sent += pulled.layers_fetched;
        total.skipped += pulled.layers_skipped;
        total.sent_bytes = pulled.traffic.received;
        total.traffic = pulled.traffic;
    }
    copied.ok_or_else(|| CommandError::usage("the index holds no image").code(1))
}

async fn all_platforms(from: &Source) -> Result<Vec<Platform>, CommandError> {
    let root = from.repository.manifest(&from.name).await?;
    match serde_json::from_slice::<kiln_store::Index>(&root.bytes) {
        Ok(index) if !index.manifests.is_empty() => {
            Ok(index.images().map(|(_, platform)| platform).collect())
        }
        _ => Ok(vec![Platform::host()]),
    }
}
