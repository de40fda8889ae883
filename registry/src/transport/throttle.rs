//! A bound on the bytes that move in a second, shared by all transfers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::content::ByteStream;

/// Bodies that are sent are cut into pieces of this size, so that even at a crawl something moves now and then.
const PIECE: usize = 16 << 10;

/// Lets bytes pass one after the other.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Bytes a second.
    rate: u64,
    /// When everything that was let through so far has had its time.
    free: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free: Mutex::new(None),
        }
    }

    /// Waits until so many bytes have had their time.
    pub(crate) async fn pass(&self, bytes: usize) {
        tokio::time::sleep_until(self.book(bytes, Instant::now())).await;
    }

    fn book(&self, bytes: usize, now: Instant) -> Instant {
        let time = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let until = free.map_or(now, |free| free.max(now)) + time;
        *free = Some(until);
        until
    }
}

/// The same content at the bounded rate.
pub(crate) fn throttled(content: ByteStream, throttle: std::sync::Arc<Throttle>) -> ByteStream {
    let pieces = content.flat_map(|piece| {
        stream::iter(match piece {
            Ok(bytes) => cut(bytes).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    });
    pieces
        .then(move |piece| {
            let throttle = throttle.clone();
            async move {
                if let Ok(bytes) = &piece {
                    throttle.pass(bytes.len()).await;
                }
                piece
            }
        })
        .boxed()
}

fn cut(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while bytes.len() > PIECE {
        pieces.push(bytes.split_to(PIECE));
    }
    pieces.push(bytes);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_take_their_time() {
        let throttle = Throttle::new(1000);
        let start = Instant::now();
        assert_eq!(
            throttle.book(500, start) - start,
            Duration::from_millis(500)
        );
        assert_eq!(
            throttle.book(1000, start) - start,
            Duration::from_millis(1500)
        );
        // Time that nobody used is not saved up.
        let later = start + Duration::from_secs(10);
        assert_eq!(
            throttle.book(100, later) - later,
            Duration::from_millis(100)
        );
    }

    #[test]
    fn pieces_are_the_whole() {
        let bytes: Bytes = (0..100_000u32).map(|number| number as u8).collect();
        let pieces = cut(bytes.clone());
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(pieces.concat(), bytes);
    }
}
