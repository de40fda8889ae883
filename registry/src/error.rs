//! What can go wrong between kiln and a registry.
//!
//! Every message names the object (registry, repository, digest, URL without secrets) and, where there is one, the way out. Variants exist
//! only where a caller decides by them; all the rest is text.

use std::fmt;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;

/// The result of a registry operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a registry operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry answered, and the answer was no.
    #[error(transparent)]
    Status(Box<StatusError>),
    /// No answer: name look-up, connection, TLS or a broken transfer.
    #[error("{method} {url}: {reason}")]
    Network {
        /// The method of the request.
        method: Method,
        /// The URL, without secrets.
        url: String,
        /// What failed, from the outermost to the innermost cause.
        reason: String,
        /// True if not one byte of the request can have reached the server.
        before_send: bool,
    },
    /// The server stopped talking.
    #[error("{method} {url}: {what} for {} seconds", .after.as_secs())]
    Timeout {
        /// The method of the request.
        method: Method,
        /// The URL, without secrets.
        url: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The registry wants credentials, or better ones.
    #[error("{registry} refuses access to {what}: {reason}")]
    Unauthorized {
        /// The registry's name.
        registry: String,
        /// Repositories and actions that were asked for.
        what: String,
        /// The registry's words and what to do.
        reason: String,
    },
    /// The registry asks to wait longer than the caller allows.
    #[error("{host} limits requests and asks to wait {} seconds, more than the {} allowed", .asked.as_secs(), .allowed.as_secs())]
    RateLimited {
        /// The host that limits.
        host: String,
        /// How long it asks to wait.
        asked: Duration,
        /// The longest wait allowed.
        allowed: Duration,
    },
    /// A manifest, tag, repository or blob does not exist.
    #[error("{0} not found")]
    NotFound(String),
    /// Content is not what its digest or size says.
    #[error("{what} is corrupt: expected {expected}, received {actual}")]
    Corrupt {
        /// The object.
        what: String,
        /// Its digest or size.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A redirect or address that must not be followed.
    #[error("refused to follow {from} to {to}: {reason}")]
    Redirect {
        /// Where the address came from.
        from: String,
        /// Where it leads.
        to: String,
        /// Why that is refused.
        reason: &'static str,
    },
    /// The index has no image for the platform.
    #[error("{reference} has no image for {wanted}; it has {available}")]
    NoPlatform {
        /// The image.
        reference: String,
        /// The platform asked for.
        wanted: String,
        /// The platforms there are.
        available: String,
    },
    /// An answer that does not follow the protocol.
    #[error("{from}: {problem}")]
    Protocol {
        /// Who sent it: a URL or an object.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A credential file or helper that cannot be used.
    #[error("credentials: {0}")]
    Credentials(String),
    /// Options that cannot work.
    #[error("{0}")]
    Options(String),
    /// The content store failed.
    #[error(transparent)]
    Store(#[from] kiln_store::Error),
    /// A layer could not be found or made.
    #[error(transparent)]
    Layer(#[from] kiln_store::LayerError),
    /// A blob could not be unpacked.
    #[error("blob {blob}: {source}")]
    Unpack {
        /// Its digest.
        blob: Box<kiln_store::Digest>,
        /// What is wrong with it.
        source: Box<kiln_store::LayerError>,
    },
    /// A file of an image layout failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Its error.
        source: std::io::Error,
    },
    /// The content to send could not be read. Whoever reads it has been patient already, so sending it again is of no use.
    #[error(transparent)]
    Source(Box<Error>),
    /// A part of the work ended without a result.
    #[error("{0} was interrupted")]
    Interrupted(String),
}

impl Error {
    /// The status code of the registry's answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(error) => Some(error.status),
            _ => None,
        }
    }

    pub(crate) fn protocol(from: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self::Protocol {
            from: from.to_string(),
            problem: problem.into(),
        }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }

    /// True if a certificate was not believed.
    pub(crate) fn is_about_trust(&self) -> bool {
        matches!(self, Self::Network { reason, .. } if reason.contains("peer certificate"))
    }

    /// True when the same request may well succeed if it is sent again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } => true,
            Self::Status(error) => {
                error.status.is_server_error() || error.status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// An answer with an error status.
#[derive(Debug)]
pub struct StatusError {
    /// The method of the request.
    pub method: Method,
    /// The URL, without secrets.
    pub url: String,
    /// The status code.
    pub status: StatusCode,
    /// The errors in the OCI error body; empty if it had none.
    pub errors: Vec<OciError>,
    /// The beginning of a body that is not an OCI error body.
    pub body: String,
}

impl std::error::Error for StatusError {}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.url, self.status)?;
        if !self.errors.is_empty() {
            write!(f, ": {}", describe(&self.errors))?;
        } else if !self.body.is_empty() {
            write!(f, ": {}", self.body)?;
        }
        Ok(())
    }
}

impl StatusError {
    /// True if the error body holds this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.errors
            .iter()
            .any(|error| error.code.eq_ignore_ascii_case(code))
    }
}

/// One error of an OCI error body.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct OciError {
    /// The code, such as `MANIFEST_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// The registry's words.
    #[serde(default)]
    pub message: String,
    /// Anything.
    #[serde(default)]
    pub detail: serde_json::Value,
}

/// The longest piece of a foreign body that goes into a message: two lines of a terminal.
const BODY_EXCERPT: usize = 160;

/// Reads an error body: the OCI errors in it, or else the beginning of its text.
pub(crate) fn parse_error_body(content_type: &str, body: &[u8]) -> (Vec<OciError>, String) {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<OciError>,
    }
    /// Token services and some front ends answer with these instead.
    #[derive(Deserialize)]
    struct Flat {
        #[serde(alias = "message", alias = "error_description", alias = "error")]
        details: serde_json::Value,
    }
    if let Ok(body) = serde_json::from_slice::<Body>(body) {
        return (body.errors, String::new());
    }
    if let Ok(Flat {
        details: serde_json::Value::String(text),
    }) = serde_json::from_slice::<Flat>(body)
    {
        return (Vec::new(), excerpt(&text));
    }
    if content_type.starts_with("text/html") {
        return (Vec::new(), "(an HTML page)".to_owned());
    }
    (Vec::new(), excerpt(&String::from_utf8_lossy(body)))
}

fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(BODY_EXCERPT) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

/// One line for a list of OCI errors.
pub(crate) fn describe(errors: &[OciError]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in errors {
        let text = match (error.code.as_str(), error.message.as_str()) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{message} ({code})"),
        };
        let text = excerpt(&text);
        if !parts.contains(&text) {
            parts.push(text);
        }
    }
    parts.join("; ")
}

/// The causes of an error in one line, without repeating what an outer one already says.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies() {
        let oci = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        let (errors, text) = parse_error_body("application/json", oci);
        assert_eq!(describe(&errors), "manifest unknown (MANIFEST_UNKNOWN)");
        assert_eq!(text, "");
        assert_eq!(
            parse_error_body(
                "application/json",
                br#"{"details":"incorrect username or password"}"#
            )
            .1,
            "incorrect username or password"
        );
        assert_eq!(
            parse_error_body("text/html; charset=utf-8", b"<html>").1,
            "(an HTML page)"
        );
        assert_eq!(
            parse_error_body("text/plain", b"  no\n way\x1b[0m").1,
            "no way[0m"
        );
        assert_eq!(
            parse_error_body("text/plain", &[b'a'; 500]).1.len(),
            BODY_EXCERPT + 3
        );
    }
}
