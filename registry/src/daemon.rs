//! A docker engine on its socket (Engine API, "Export an image", "Import images").
//!
//! The engine gives and takes archives. What it gives goes into a file without a name first, as its lists may come last; what it takes is one stream.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use kiln_store::Reference;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::archive::{Archive, ArchiveStyle, ArchiveWriter};
use crate::error::{Error, Result, chain};
use crate::source::{blocking, receive};

/// Pieces that wait for the engine.
const PIECES_AHEAD: usize = 4;

/// The most of an engine's words that is read.
const ANSWER_LIMIT: usize = 256 << 10;

/// The host of requests over a socket, where it means nothing.
const NOWHERE: &str = "http://docker";

/// An engine.
#[derive(Clone, Debug)]
pub struct Daemon {
    client: reqwest::Client,
    socket: PathBuf,
}

impl Daemon {
    /// An engine that listens on a socket. Nothing is sent yet.
    pub fn new(socket: &Path) -> Result<Self> {
        // A socket needs no TLS; the library wants a configuration all the same.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Options(format!("cannot set up TLS: {error}")))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .unix_socket(socket)
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| Error::Options(format!("docker's socket: {}", chain(&error))))?;
        Ok(Self {
            client,
            socket: socket.to_owned(),
        })
    }

    /// An image of the engine, as an archive in a file without a name below `scratch`.
    pub async fn image(&self, name: &Reference, scratch: &Path) -> Result<Archive> {
        let url = format!("{NOWHERE}/images/{}/get", name.familiar());
        let answer = self.client.get(&url).send().await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Error::NotFound(format!("{name} in {}", self.name())));
        }
        if !answer.status().is_success() {
            return Err(self.refused(answer).await);
        }
        let what = format!("docker-daemon:{}", name.familiar());
        let broken = self.name();
        let stream = answer
            .bytes_stream()
            .map_err(move |error| Error::protocol(&broken, chain(&error)));
        let mut stream = Box::pin(stream);
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES_AHEAD);
        let scratch = scratch.to_owned();
        let spooling = blocking("reading from docker", move || {
            Archive::from_stream(Pieces::new(receiver), &what, &scratch)
        });
        let feeding = async move {
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(io::Error::other);
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        };
        let (archive, ()) = tokio::join!(spooling, feeding);
        archive
    }

    /// Begins to give the engine images.
    pub fn load(&self) -> Result<DaemonLoad> {
        let (sender, receiver) = mpsc::channel::<Result<Bytes>>(PIECES_AHEAD);
        let request = self
            .client
            .post(format!("{NOWHERE}/images/load?quiet=1"))
            .header(reqwest::header::CONTENT_TYPE, "application/x-tar")
            .body(reqwest::Body::wrap_stream(receive(receiver)));
        let this = self.clone();
        let answer = tokio::spawn(async move {
            let answer = request.send().await;
            let answer = answer.map_err(|error| this.unreachable(&error))?;
            this.loaded(answer).await
        });
        let writer =
            ArchiveWriter::stream(&self.name(), Box::new(Feed(sender)), ArchiveStyle::Docker);
        Ok(DaemonLoad {
            writer: writer?,
            answer,
        })
    }

    /// The engine's word on what it was given: failures come as lines of JSON after a 200.
    async fn loaded(&self, answer: Response) -> Result<()> {
        #[derive(Deserialize)]
        struct Line {
            error: Option<String>,
        }
        if !answer.status().is_success() {
            return Err(self.refused(answer).await);
        }
        let text = self.text(answer).await;
        let failure = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok()?.error)
            .next();
        match failure {
            Some(error) => Err(Error::protocol(self.name(), error)),
            None => Ok(()),
        }
    }

    async fn refused(&self, answer: Response) -> Error {
        #[derive(Deserialize)]
        struct Body {
            message: String,
        }
        let status = answer.status();
        let text = self.text(answer).await;
        let message = serde_json::from_str::<Body>(&text).map_or(text, |body| body.message);
        Error::protocol(self.name(), format!("{status}: {}", message.trim()))
    }

    /// The beginning of a body.
    async fn text(&self, mut answer: Response) -> String {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_LIMIT {
                break;
            }
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::protocol(
            self.name(),
            format!("the docker engine cannot be reached: {}", chain(error)),
        )
    }

    fn name(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// Images on their way into an engine.
#[derive(Debug)]
pub struct DaemonLoad {
    writer: ArchiveWriter,
    answer: JoinHandle<Result<()>>,
}

impl DaemonLoad {
    /// Where the images are put.
    #[must_use]
    pub fn writer(&self) -> &ArchiveWriter {
        &self.writer
    }

    /// Ends the archive and waits for the engine's word.
    pub async fn finish(self) -> Result<()> {
        let written = self.writer.finish().await;
        // An engine that stopped reading says why.
        match self.answer.await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => written,
            Err(_) => Err(Error::Interrupted("loading into docker".to_owned())),
        }
    }

    /// Breaks off, so that the engine keeps nothing; gives its own reason if it had one.
    pub async fn abandon(self) -> Option<Error> {
        if self.answer.is_finished() {
            return self.answer.await.ok()?.err();
        }
        self.answer.abort();
        None
    }
}

/// The writing end of a request's body.
struct Feed(mpsc::Sender<Result<Bytes>>);

impl Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading end of an answer's body, for a blocking thread.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Pieces {
    fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
