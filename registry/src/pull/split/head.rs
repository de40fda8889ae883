//! The part whose turn it is: from its own connection, or from the file of a part that came before its turn.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use kiln_store::Descriptor;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::{ByteStream, Part, Repository, Turn};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::source::blocking;

use super::super::stream::{Patience, Pipe, ended_early};
use super::ahead::{Ahead, Progress};
use super::width::{Round, Width};
use super::{Received, Split, part_length};

/// Where the transfer of a layer stands.
pub(super) struct Head<'a> {
    split: Split,
    repository: &'a dyn Repository,
    blob: &'a Descriptor,
    received: &'a Received,
    orders: UnboundedSender<Arc<Ahead>>,
    events: Events<'a>,
    /// What has gone through the pipe.
    moved: u64,
    /// What is in hand or has been ordered.
    frontier: u64,
    /// The usual length of a part, and that of the next one in turn while nothing comes ahead.
    part: u64,
    stretch: u64,
    /// True once the place has given all it has.
    whole: bool,
    width: Width,
    round: Round,
    round_began: (Instant, u64),
    shown: u64,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        split: Split,
        repository: &'a dyn Repository,
        blob: &'a Descriptor,
        received: &'a Received,
        orders: UnboundedSender<Arc<Ahead>>,
        events: Events<'a>,
    ) -> Self {
        let part = part_length(&split.splitting, blob);
        let ends = split.left.iter().map(|part| part.range().end);
        Self {
            moved: split.from,
            frontier: ends.max().unwrap_or(split.from),
            part,
            stretch: part,
            whole: false,
            width: Width::new(&split.splitting),
            round: Round::default(),
            round_began: (Instant::now(), 0),
            shown: 0,
            split,
            repository,
            blob,
            received,
            orders,
            events,
        }
    }

    /// Puts all of the layer into the pipe.
    pub(super) async fn run(mut self, pipe: Pipe) -> Result<()> {
        while self.moved < self.blob.size {
            match self.next_ahead().await? {
                Some(part) => self.follow(&part, &pipe).await?,
                None => self.in_turn(&pipe).await?,
            }
            self.decide();
            self.order().await?;
        }
        // The last one has been used too.
        self.next_ahead().await?;
        pipe.put_end().await
    }

    /// The part that has the next byte. Those that have none that is wanted are removed.
    async fn next_ahead(&mut self) -> Result<Option<Arc<Ahead>>> {
        let moved = self.moved;
        let parts = &mut self.split.left;
        let used: Vec<_> = parts
            .extract_if(.., |part| {
                part.range().end <= moved || (part.range().start <= moved && !part.covers(moved))
            })
            .collect();
        for part in used {
            part.remove().await?;
        }
        let parts = &self.split.left;
        Ok(parts.iter().find(|part| part.covers(moved)).cloned())
    }

    /// Moves what a part has, and what it still gets.
    async fn follow(&mut self, part: &Ahead, pipe: &Pipe) -> Result<()> {
        let start = part.range().start;
        let mut watch = part.watch();
        loop {
            let Progress { got, over } = *watch.borrow_and_update();
            if self.moved < start + got {
                let mut bytes = part.read(self.moved - start).await?;
                bytes.truncate(usize::try_from(start + got - self.moved).unwrap_or(usize::MAX));
                if bytes.is_empty() {
                    // Somebody has shortened the file.
                    return Err(Error::Interrupted("reading a part of a layer".to_owned()));
                }
                self.put(pipe, bytes).await?;
            } else if over || self.moved == part.range().end {
                return Ok(());
            } else {
                let waiting = Instant::now();
                // The part lives as long as its sender.
                let _ = watch.changed().await;
                self.round.starved += waiting.elapsed();
            }
        }
    }

    /// Moves the next part from a connection of its own.
    async fn in_turn(&mut self, pipe: &Pipe) -> Result<()> {
        let (mut answer, mut end) = match self.split.first.take() {
            Some((part, end)) => (Some(Ok(part)), end),
            None => (None, self.end_in_turn()),
        };
        let mut turn = Turn::Next;
        let mut patience = Patience::default();
        while self.moved < end {
            let before = self.moved;
            let answered = match answer.take() {
                Some(answered) => answered,
                None => {
                    let range = self.moved..end;
                    self.repository.blob_part(self.blob, range, turn).await
                }
            };
            let result = match answered {
                Ok(Part::Exact(stream)) => {
                    self.frontier = self.frontier.max(end);
                    self.order().await?;
                    self.drain(stream, end, pipe).await
                }
                Ok(Part::Rest(stream)) => {
                    if end < self.blob.size {
                        self.give_up().await?;
                        end = self.blob.size;
                    }
                    self.drain(stream, end, pipe).await
                }
                Ok(Part::Unavailable) => Err(Error::Interrupted(
                    "asking for a part of a layer".to_owned(),
                )),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                let gained = self.moved - before;
                patience
                    .after_break(self.blob, gained, error, self.events)
                    .await?;
                turn = Turn::Again;
            }
        }
        Ok(())
    }

    /// Where the next request in turn ends: at what is there already, else after a part, or a longer one while nothing comes ahead.
    fn end_in_turn(&mut self) -> u64 {
        let starts = self.split.left.iter().map(|part| part.range().start);
        if let Some(next) = starts.filter(|start| *start > self.moved).min() {
            return next;
        }
        let length = if self.width.now() > 0 {
            self.part
        } else {
            self.stretch = self.stretch.saturating_mul(2);
            self.stretch
        };
        self.moved.saturating_add(length).min(self.blob.size)
    }

    async fn drain(&mut self, mut stream: ByteStream, end: u64, pipe: &Pipe) -> Result<()> {
        while self.moved < end {
            let waiting = Instant::now();
            let piece = stream.next().await;
            self.round.starved += waiting.elapsed();
            let Some(piece) = piece else {
                return Err(ended_early(self.blob, self.moved));
            };
            let mut piece = piece?;
            // More than was asked for is not wanted from here.
            piece.truncate(usize::try_from(end - self.moved).unwrap_or(usize::MAX));
            self.received.add(piece.len());
            self.put(pipe, piece).await?;
        }
        Ok(())
    }

    async fn put(&mut self, pipe: &Pipe, bytes: bytes::Bytes) -> Result<()> {
        let waiting = Instant::now();
        self.moved += bytes.len() as u64;
        pipe.put_data(bytes).await?;
        self.round.blocked += waiting.elapsed();
        self.show();
        Ok(())
    }

    /// Tells how much is there: what has moved, and what waits for its turn.
    fn show(&mut self) {
        let waiting = self.split.left.iter().map(|part| {
            let there = part.range().start + part.progress().got;
            there.saturating_sub(part.range().start.max(self.moved))
        });
        self.shown = self.shown.max(self.moved + waiting.sum::<u64>());
        (self.events)(Event::BlobProgress {
            digest: self.blob.digest,
            moved: self.shown.min(self.blob.size),
        });
    }

    /// Decides how many parts come ahead, once enough has come to tell.
    fn decide(&mut self) {
        let (began, total) = self.round_began;
        let bytes = self.received.total() - total;
        if bytes < self.part * (self.width.now() as u64 + 1) {
            return;
        }
        self.width.after(&Round {
            bytes,
            elapsed: began.elapsed(),
            ..self.round
        });
        self.round = Round::default();
        self.round_began = (Instant::now(), self.received.total());
    }

    /// Has further parts fetched, up to the number that is wanted.
    async fn order(&mut self) -> Result<()> {
        while !self.whole
            && self.split.left.len() < self.width.now()
            && self.frontier < self.blob.size
        {
            let range = self.frontier..(self.frontier + self.part).min(self.blob.size);
            self.frontier = range.end;
            let (store, digest) = (self.split.store.clone(), self.blob.digest);
            let file = blocking("beginning a part of a layer", move || {
                Ok(store.download_part(&digest, range)?)
            });
            // Another process that fetches the same part is one that has lost the download: what it has is not waited for.
            let Some(file) = file.await? else {
                return Ok(());
            };
            let part = Ahead::new(file, false);
            self.split.left.push(part.clone());
            // The other end lives as long as this one.
            let _ = self.orders.send(part);
        }
        Ok(())
    }

    /// From now on everything comes in one stream.
    async fn give_up(&mut self) -> Result<()> {
        self.whole = true;
        for part in std::mem::take(&mut self.split.left) {
            part.stop();
            part.remove().await?;
        }
        Ok(())
    }
}
