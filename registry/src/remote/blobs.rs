//! Blobs: whether they are there, and their bytes from any point on.

use std::sync::PoisonError;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kiln_store::{Descriptor, media_type};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use crate::content::{ByteStream, Repository};
use crate::error::{Error, Result};
use crate::transport::{Answer, Request};

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

    pub(super) async fn get_blob(&self, blob: &Descriptor, offset: u64) -> Result<ByteStream> {
        let answer = self.open_blob(blob, offset).await?;
        let skip = self.check_range(&answer, blob, offset)?;
        Ok(into_stream(answer, skip))
    }

    async fn open_blob(&self, blob: &Descriptor, offset: u64) -> Result<Answer> {
        let known = self
            .locations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&blob.digest);
        if let Some(location) = known.filter(|_| offset > 0) {
            let request = ranged(
                Request::new(Method::GET, location, self.meter.clone()).bulk(),
                offset,
            );
            let answer = self.send(&request).await?;
            if answer.status().is_success() {
                return Ok(self.remember(blob, answer));
            }
            // The signature of the address has run out: the registry makes a new one.
            answer.finish().await;
        }
        let request = self
            .request(Method::GET, &format!("blobs/{}", blob.digest))
            .await?;
        let answer = self.send(&ranged(classed(request, blob), offset)).await?;
        match answer.status() {
            status if status.is_success() => Ok(self.remember(blob, answer)),
            StatusCode::NOT_FOUND => Err(Error::NotFound(format!(
                "blob {} of {}",
                blob.digest,
                self.name()
            ))),
            _ => Err(answer.into_error().await),
        }
    }

    /// Keeps the address that a blob was found at, if it is not the registry's own.
    fn remember(&self, blob: &Descriptor, answer: Answer) -> Answer {
        let own = format!("/v2/{}/blobs/{}", self.path, blob.digest);
        if answer.url.path() != own {
            self.locations
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(blob.digest, answer.url.clone());
        }
        answer
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

    /// How many bytes of the answer come before `offset`. Servers may ignore a range, or send another.
    fn check_range(&self, answer: &Answer, blob: &Descriptor, offset: u64) -> Result<u64> {
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return self.check_whole(answer, blob).map(|()| offset);
        }
        let range = answer.header(&CONTENT_RANGE).and_then(parse_content_range);
        match range {
            Some((start, total))
                if start <= offset && total.is_none_or(|total| total == blob.size) =>
            {
                Ok(offset - start)
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

fn ranged(request: Request, offset: u64) -> Request {
    if offset == 0 {
        return request;
    }
    match HeaderValue::from_str(&format!("bytes={offset}-")) {
        Ok(value) => request.header(RANGE, value),
        // Digits are always fit for a header.
        Err(_) => request,
    }
}

/// `bytes 5-9/10` or `bytes 5-9/*`: the start and the total.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    Some((start.trim().parse().ok()?, total))
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
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some((0, None)));
        for wrong in ["", "bytes */10", "5-9/10", "bytes 5-9", "bytes x-9/10"] {
            assert_eq!(parse_content_range(wrong), None, "{wrong}");
        }
    }
}
