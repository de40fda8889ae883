//! Files from any web server, through the same transport as everything else: proxies, authorities, retries, checked redirects.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_store::Digest;
use reqwest::header::{
    ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, StatusCode};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::transport::{Meter, Request, Trust, redact};

/// What tells a server which version of a file is known already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The `ETag` that the known version came with.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub last_modified: Option<String>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Download {
    /// The known version is the current one; nothing was written.
    NotModified,
    /// A file was written.
    Written {
        /// The SHA-256 of its content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// What it can be asked for again with.
        validators: Validators,
        /// The media type that the server gives it, without parameters.
        media_type: String,
    },
}

impl Client {
    /// Downloads `url` into the new file `target`, unless the server says that the version of `known` is current. A user and password in the
    /// URL are sent as such; `authorization` goes before them. Both stay with the URL's own origin.
    pub async fn download(
        &self,
        url: &str,
        authorization: Option<&Secret>,
        known: &Validators,
        target: &Path,
    ) -> Result<Download> {
        let mut url = parse(url)?;
        let authorization = match authorization {
            Some(secret) => Some(header(secret.expose())?),
            None => basic(&url)?,
        };
        // The caller's own URL was valid with them.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        let mut request = Request::new(Method::GET, url.clone(), Arc::<Meter>::default()).bulk();
        for (name, value) in [
            (IF_NONE_MATCH, &known.etag),
            (IF_MODIFIED_SINCE, &known.last_modified),
        ] {
            if let Some(value) = value {
                request = request.header(name, header(value)?);
            }
        }
        let trust = Trust {
            registry: url.host_str().unwrap_or_default().to_owned(),
            verify: true,
        };
        let mut answer = self
            .transport()
            .exchange(&request, authorization.as_ref(), &trust)
            .await?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => {
                answer.finish().await;
                return Ok(Download::NotModified);
            }
            status if status.is_success() => {}
            _ => return Err(answer.into_error().await),
        }
        let text = |name: &HeaderName| answer.header(name).map(str::to_owned);
        let validators = Validators {
            etag: text(&ETAG),
            last_modified: text(&LAST_MODIFIED),
        };
        let media_type = answer.media_type().to_owned();
        let failed = |error| Error::io(target, error);
        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)
            .await
            .map_err(failed)?;
        let mut hasher = kiln_store::Hasher::sha256();
        let mut size = 0;
        while let Some(chunk) = answer.chunk().await? {
            hasher.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        Ok(Download::Written {
            digest: hasher.finish(),
            size,
            validators,
            media_type,
        })
    }
}

/// A URL for messages: without its user, its password and the values of its query.
pub fn shown_url(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "an invalid URL".to_owned(), |url| redact(&url))
}

fn parse(text: &str) -> Result<Url> {
    let url = Url::parse(text)
        .map_err(|error| Error::Options(format!("{} is no URL: {error}", shown_url(text))))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err(Error::Options(format!(
            "{}: only http and https can be downloaded",
            redact(&url)
        ))),
    }
}

fn header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::Options("a header holds characters that none can have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(url: &Url) -> Result<Option<HeaderValue>> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| {
        let pairs = format!("x={}", text.replace('+', "%2B"));
        let mut decoded = url::form_urlencoded::parse(pairs.as_bytes());
        decoded
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let pair = format!(
        "{}:{}",
        decode(url.username()),
        decode(url.password().unwrap_or_default())
    );
    header(&format!("Basic {}", STANDARD.encode(pair))).map(Some)
}
