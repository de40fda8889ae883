//! Blobs: whether they are there, and their bytes from any point on.

use std::ops::Range;
use std::sync::PoisonError;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kiln_store::{Descriptor, media_type};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::content::{ByteStream, Part, Repository};
use crate::error::{Error, Result};
use crate::transport::{Answer, Held, Request};

use super::RemoteRepository;

impl RemoteRepository {
    pub(super) async fn head_blob(&self, blob: &Descriptor) -> Result<bool> {
        // A redirect says that it is there; the storage behind it may not take HEAD for an address signed for GET.
        let request = self
            .request(Method::HEAD, &format!("blobs/{}", blob.digest))
            .await?
            .stay();
        let answer = self.send(&request).await?;
        match answer.status() {
            status if status.is_success() || status.is_redirection() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.into_error().await),
        }
    }

    /// Asks for a range of a blob; holds `place` for it, or takes one of its own.
    pub(super) async fn open_blob(
        &self,
        blob: &Descriptor,
        range: &Range<u64>,
        place: Option<Held>,
    ) -> Result<Answer> {
        let ranged = |request: Request| ranged(request, range, blob.size);
        let sent = async |request: Request| match place.is_some() {
            true => self.send(&ranged(request.placed())).await,
            false => self.send(&ranged(request)).await,
        };
        let known = self.stored_at(blob).filter(|_| range.start > 0);
        let mut found = None;
        if let Some(location) = known {
            let request = Request::new(Method::GET, location, self.meter.clone()).bulk();
            let answer = sent(request).await?;
            if answer.status().is_success() {
                found = Some(answer);
            } else {
                // The signature of the address has run out: the registry makes a new one.
                answer.finish().await;
            }
        }
        let answer = match found {
            Some(answer) => answer,
            None => {
                let request = self
                    .request(Method::GET, &format!("blobs/{}", blob.digest))
                    .await?;
                sent(classed(request, blob)).await?
            }
        };
        match answer.status() {
            status if status.is_success() => {
                self.remember(blob, &answer);
                Ok(match place {
                    Some(place) => answer.holding(place),
                    None => answer,
                })
            }
            StatusCode::NOT_FOUND => Err(Error::NotFound(format!(
                "blob {} of {}",
                blob.digest,
                self.name()
            ))),
            _ => Err(answer.into_error().await),
        }
    }

    /// Where a blob was found last, if not at the registry itself.
    pub(super) fn stored_at(&self, blob: &Descriptor) -> Option<Url> {
        let locations = self
            .locations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        locations.get(&blob.digest).cloned()
    }

    /// Keeps the address that a blob was found at, if it is not the registry's own.
    fn remember(&self, blob: &Descriptor, answer: &Answer) {
        let own = format!("/v2/{}/blobs/{}", self.path, blob.digest);
        let mut locations = self
            .locations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if answer.url.path() == own {
            locations.remove(&blob.digest);
        } else {
            locations.insert(blob.digest, answer.url.clone());
        }
    }

    /// A page of a proxy, or an object that was not stored whole, is told by its length before any of it is taken for content.
    fn check_whole(&self, answer: &Answer, blob: &Descriptor) -> Result<()> {
        let length = answer
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse::<u64>().ok());
        let Some(length) = length.filter(|length| *length != blob.size) else {
            return Ok(());
        };
        let what = match answer.media_type() {
            "text/html" => "an HTML page".to_owned(),
            _ => format!("{length} bytes"),
        };
        Err(Error::Network {
            method: Method::GET,
            url: answer.shown_url(),
            reason: format!("it sends {what} for a blob of {} bytes", blob.size),
            before_send: false,
        })
    }

    /// What an answer to a request for a range is. Servers may ignore a range, or send another.
    pub(super) fn part_of(
        &self,
        answer: Answer,
        blob: &Descriptor,
        range: &Range<u64>,
    ) -> Result<Part> {
        let offset = range.start;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            self.check_whole(&answer, blob)?;
            return Ok(Part::Rest(into_stream(answer, offset)));
        }
        let sent = answer.header(&CONTENT_RANGE).and_then(parse_content_range);
        match sent {
            Some((sent, total))
                if sent.start <= offset && total.is_none_or(|total| total == blob.size) =>
            {
                let skip = offset - sent.start;
                if range.end < blob.size && sent.end <= range.end {
                    return Ok(Part::Exact(into_stream(answer, skip)));
                }
                Ok(Part::Rest(into_stream(answer, skip)))
            }
            _ => Err(Error::protocol(
                answer.shown_url(),
                format!("asked for the bytes from {offset}, it sends others"),
            )),
        }
    }
}

/// Blobs up to this size share the connection of the small requests.
const SMALL: u64 = 64 << 10;

/// A configuration never queues behind layers: in a pull they wait for it while they hold their places.
fn classed(request: Request, blob: &Descriptor) -> Request {
    let small = blob.size <= SMALL || media_type::is_image_config(&blob.media_type);
    if small { request } else { request.bulk() }
}

fn ranged(request: Request, range: &Range<u64>, size: u64) -> Request {
    let text = match (range.start, range.end) {
        (0, end) if end >= size => return request,
        (start, end) if end >= size => format!("bytes={start}-"),
        (start, end) => format!("bytes={start}-{}", end.saturating_sub(1)),
    };
    match HeaderValue::from_str(&text) {
        Ok(value) => request.header(RANGE, value),
        // Digits are always fit for a header.
        Err(_) => request,
    }
}

/// `bytes 5-9/10` or `bytes 5-9/*`: the range and the total.
fn parse_content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = text
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    let last: u64 = last.trim().parse().ok()?;
    Some((start.trim().parse().ok()?..last.checked_add(1)?, total))
}

/// The body of an answer as a stream, without its first `skip` bytes. A break is its last item.
fn into_stream(answer: Answer, skip: u64) -> ByteStream {
    let state = Some((answer, skip));
    stream::unfold(state, |state| async move {
        let (mut answer, mut skip) = state?;
        loop {
            match answer.chunk().await {
                Ok(None) => return None,
                Err(error) => return Some((Err(error), None)),
                Ok(Some(chunk)) => {
                    let cut = skip.min(chunk.len() as u64);
                    skip -= cut;
                    // `cut` is at most the length of a chunk in memory.
                    let rest: Bytes = chunk.slice(cut as usize..);
                    if !rest.is_empty() {
                        return Some((Ok(rest), Some((answer, skip))));
                    }
                }
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5..10, Some(10))));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some((0..1, None)));
        for wrong in [
            "",
            "bytes */10",
            "5-9/10",
            "bytes 5-9",
            "bytes x-9/10",
            "bytes 5-/10",
        ] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }
}
