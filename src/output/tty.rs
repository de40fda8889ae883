//! Progress on a terminal: what runs is a live line (with the last line of its output) or a bar; what is
//! done scrolls up as one line.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_builder::Event as BuildEvent;
use kiln_registry::{BlobOutcome, Event as TransferEvent};
use kiln_store::Digest;

use super::neutral::{plain_text, printable};
use super::plain::verdict;
use super::total::Total;
use super::{Renderer, short};
use crate::format;

/// How often a live line turns: often enough to look alive, seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(120);
/// Redraws a second at most.
const REDRAW_HZ: u8 = 12;

/// Draws live lines and bars.
pub struct Tty {
    explain: bool,
    screen: MultiProgress,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    steps: HashMap<usize, (String, ProgressBar)>,
    blobs: HashMap<Digest, ProgressBar>,
    total: Total,
    waits: HashMap<String, ProgressBar>,
}

impl Tty {
    pub fn new(explain: bool) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAW_HZ));
        Self {
            explain,
            screen,
            live: Mutex::default(),
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, line: &str) {
        let _ = self.screen.println(line);
    }

    /// What is left of a wait, as a line that goes away with it.
    fn count_down(&self, host: &str, left: Duration) {
        let known = self.live().waits.get(host).cloned();
        let bar = known.unwrap_or_else(|| {
            let bar = self.spinner(host);
            self.live().waits.insert(host.to_owned(), bar.clone());
            bar
        });
        let seconds = left.as_secs_f64().ceil();
        bar.set_message(format!("limits requests: going on in {seconds} s"));
        // The last word of a wait comes within its last second.
        if left <= Duration::from_secs(1) {
            bar.finish_and_clear();
            self.live().waits.remove(host);
        }
    }

    fn spinner(&self, name: &str) -> ProgressBar {
        let style =
            ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim} {wide_msg:.dim}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.screen.add(
            ProgressBar::new_spinner()
                .with_style(style)
                .with_prefix(plain_text(name)),
        );
        bar.enable_steady_tick(TICK);
        bar
    }

    fn bar(&self, digest: &Digest, size: u64) -> ProgressBar {
        let template = "  {prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec:.dim} {eta:.dim}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(size)
            .with_style(style)
            .with_prefix(short(digest));
        // Above the bar of the total, which is the last.
        self.screen.insert(0, bar)
    }

    fn end_step(&self, step: usize, name: &str, colour: AnsiColor, text: &str) {
        if let Some((_, bar)) = self.live().steps.remove(&step) {
            bar.finish_and_clear();
        }
        let style = Style::new().fg_color(Some(colour.into()));
        self.print(&format!("{style}{text:>8}{style:#} {}", plain_text(name)));
    }
}

impl Renderer for Tty {
    fn build(&self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Started { step, name } => {
                let bar = self.spinner(name);
                self.live().steps.insert(*step, ((*name).to_owned(), bar));
            }
            BuildEvent::Output { step, line, .. } => {
                if let Some((_, bar)) = self.live().steps.get(step) {
                    bar.set_message(printable(line));
                }
            }
            BuildEvent::Finished {
                step,
                name,
                outcome,
                duration,
            } => {
                let colour = if outcome.is_cached() {
                    AnsiColor::Cyan
                } else {
                    AnsiColor::Green
                };
                self.end_step(*step, name, colour, &verdict(outcome, *duration));
                if let (true, Some(why)) = (self.explain, outcome.why()) {
                    self.print(&format!("         because {why}"));
                }
            }
            BuildEvent::Failed { step, name } => {
                self.end_step(*step, name, AnsiColor::Red, "FAILED")
            }
            BuildEvent::Warning(text) => self.print(&format!(" warning {text}")),
            BuildEvent::Shell { name, .. } => {
                self.finish();
                self.print(&format!(
                    "   shell {}; its end ends the build",
                    plain_text(name)
                ));
            }
            BuildEvent::Registry(event) => self.transfer(event),
            _ => {}
        }
    }

    fn transfer(&self, event: &TransferEvent) {
        self.live().total.follow(event, &self.screen);
        match event {
            TransferEvent::BlobStarted { digest, size } => {
                let bar = self.bar(digest, *size);
                self.live().blobs.insert(*digest, bar);
            }
            TransferEvent::BlobProgress { digest, moved } => {
                if let Some(bar) = self.live().blobs.get(digest) {
                    bar.set_position(*moved);
                }
            }
            TransferEvent::BlobDone { digest, outcome } => {
                let bar = self.live().blobs.remove(digest);
                let size = bar.as_ref().and_then(ProgressBar::length);
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                if *outcome != BlobOutcome::Present {
                    let size = size
                        .map(|size| format!(", {}", format::size(size)))
                        .unwrap_or_default();
                    self.print(&format!("         {} moved{size}", short(digest)));
                }
            }
            TransferEvent::Retrying { what, reason } => {
                self.print(&format!("retrying {what}: {reason}"))
            }
            TransferEvent::Waiting { host, wait } => {
                self.print(&format!(
                    "{host} limits requests: waiting {} s",
                    wait.as_secs()
                ));
            }
            TransferEvent::StillWaiting { host, left } => self.count_down(host, *left),
            _ => {}
        }
    }

    fn shows_output(&self) -> bool {
        false
    }

    fn finish(&self) {
        let mut live = self.live();
        for (_, bar) in live.waits.drain() {
            bar.finish_and_clear();
        }
        for (_, bar) in live.steps.drain().map(|(_, step)| step) {
            bar.finish_and_clear();
        }
        for (_, bar) in live.blobs.drain() {
            bar.finish_and_clear();
        }
        live.total.clear();
    }
}
