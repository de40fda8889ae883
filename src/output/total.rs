//! The bar over all blobs of a transfer: bytes, rate, time left.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kiln_registry::Event;
use kiln_store::Digest;

/// All blobs of the transfers under way.
#[derive(Default)]
pub struct Total {
    bar: Option<ProgressBar>,
    blobs: HashMap<Digest, Blob>,
    /// Blobs that were announced and blobs that are where they belong.
    count: (usize, usize),
    finished: u64,
}

#[derive(Default)]
struct Blob {
    size: u64,
    moved: u64,
}

impl Total {
    /// Takes in what happened; the bar is the last on the screen.
    pub fn follow(&mut self, event: &Event, screen: &MultiProgress) {
        match event {
            Event::Planned { blobs, bytes } => {
                self.count.0 += blobs;
                let bar = self.bar.get_or_insert_with(|| screen.add(new_bar()));
                bar.inc_length(*bytes);
            }
            Event::BlobStarted { digest, size } => {
                let blob = Blob {
                    size: *size,
                    moved: 0,
                };
                self.blobs.insert(*digest, blob);
            }
            Event::BlobProgress { digest, moved } => {
                if let Some(blob) = self.blobs.get_mut(digest) {
                    blob.moved = *moved;
                }
            }
            Event::BlobDone { digest, .. } => {
                self.count.1 += 1;
                if let Some(blob) = self.blobs.remove(digest) {
                    self.finished += blob.size;
                }
            }
            _ => return,
        }
        if let Some(bar) = &self.bar {
            let moving: u64 = self.blobs.values().map(|blob| blob.moved).sum();
            // A blob that was there and never started is known by its place in the plan alone.
            bar.set_position(self.finished + moving);
            bar.set_message(format!(
                "{}/{} blobs",
                self.count.1,
                self.count.0.max(self.count.1)
            ));
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some(bar) = std::mem::take(self).bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let template =
        "  total        {bar:30} {bytes}/{total_bytes} {bytes_per_sec:.dim} {eta:.dim} left, {msg}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;
    use kiln_registry::BlobOutcome;

    #[test]
    fn sums_over_blobs_and_images() {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut total = Total::default();
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let started = |digest, size| Event::BlobStarted { digest, size };
        let moved = |digest, moved| Event::BlobProgress { digest, moved };
        for event in [
            Event::Planned {
                blobs: 2,
                bytes: 30,
            },
            started(a, 10),
            started(b, 20),
            moved(a, 5),
            moved(b, 8),
            // It had to begin again.
            moved(b, 2),
        ] {
            total.follow(&event, &screen);
        }
        let bar = total.bar.clone().unwrap();
        assert_eq!((bar.position(), bar.length()), (7, Some(30)));
        let done = Event::BlobDone {
            digest: a,
            outcome: BlobOutcome::Mounted,
        };
        total.follow(&done, &screen);
        assert_eq!(
            (bar.position(), bar.message()),
            (12, "1/2 blobs".to_owned())
        );
        total.clear();
        assert!(total.bar.is_none());
    }
}
