//! What belongs to the copied manifests: referrers, their referrers, and cosign's tags.

use std::collections::BTreeSet;

use kiln_store::Digest;

use crate::content::ManifestName;
use crate::error::{Error, Result};

use super::Work;
use super::selection::Chosen;

/// Signatures of signatures of ...: longer chains than this do not exist outside of attacks.
const LONGEST_CHAIN: usize = 8;

/// What belongs to one image. Thousands exist only where a registry means harm.
const MOST: usize = 10_000;

impl Work<'_> {
    /// Copies what belongs to these manifests; gives the number of things found.
    pub(super) async fn put_belongings(&mut self, mut subjects: Vec<Digest>) -> Result<usize> {
        let mut seen: BTreeSet<Digest> = subjects.iter().copied().collect();
        let mut tags = BTreeSet::new();
        let mut found = 0;
        for _ in 0..LONGEST_CHAIN {
            if subjects.is_empty() {
                return Ok(found);
            }
            let companions = self.from.companions(&subjects).await?;
            found += companions.referrers.len() + companions.tags.len();
            if found > MOST {
                return Err(Error::protocol(
                    self.from.name(),
                    format!(
                        "more than {MOST} things belong to one image: copy it without them (`--referrers=false`)"
                    ),
                ));
            }
            subjects.clear();
            for referrer in companions.referrers {
                if seen.insert(referrer.digest) {
                    subjects.push(referrer.digest);
                    self.put_one(&ManifestName::Digest(referrer.digest)).await?;
                }
            }
            for tag in companions.tags {
                if tags.insert(tag.clone()) {
                    self.put_one(&ManifestName::Tag(tag)).await?;
                }
            }
        }
        Err(Error::protocol(
            self.from.name(),
            format!("manifests refer to each other in a chain of more than {LONGEST_CHAIN}"),
        ))
    }

    /// Copies one manifest under its own name. What has left the source since it was listed is no loss.
    async fn put_one(&mut self, name: &ManifestName) -> Result<()> {
        let root = match self.from.manifest(name).await {
            Ok(root) => root,
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let there = self.to.head_manifest(name).await?;
        if there.is_some_and(|there| there.digest == root.descriptor.digest) {
            return Ok(());
        }
        let chosen = Chosen { root };
        match name {
            ManifestName::Digest(_) => self.put(chosen, &[], true).await?,
            ManifestName::Tag(_) => self.put(chosen, std::slice::from_ref(name), false).await?,
        };
        Ok(())
    }
}
