//! HTTP/1.1 on a blocking socket: as much of it as registries' clients use.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::fault::What;
use super::state::Place;
use super::{Shared, manifests, reads, tokens, uploads};

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub length: usize,
    pub place: Place,
    /// Whether reads of blobs are answered here and not by a redirect.
    pub direct: bool,
}

impl Head {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }

    pub fn parameters(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| decode(value))
            .collect()
    }

    /// Whether a blob's bytes are in the answer.
    pub fn brings_blob(&self) -> bool {
        let path = self.path();
        match self.place {
            Place::Storage => path.starts_with("/stored/"),
            Place::Registry => {
                path.starts_with("/direct/") || (self.direct && path.contains("/blobs/sha256:"))
            }
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body is (part of) a blob.
    pub is_blob: bool,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// An OCI error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(format!(
                r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#
            ))
    }
}

/// Serves one connection until it ends.
pub fn serve(mut stream: TcpStream, shared: &Arc<Shared>, place: Place) {
    let mut buffer = Vec::new();
    while let Some(head) = receive_head(&mut stream, &mut buffer, place, shared) {
        let mark = if place == Place::Storage {
            "storage:"
        } else {
            ""
        };
        // What is refused anyway uses no fault up.
        let refused = head.place == Place::Registry && tokens::refusal(shared, &head).is_some();
        let fault = {
            let mut state = shared.state.lock().unwrap();
            state
                .log
                .push(format!("{mark}{} {}", head.method, head.target));
            let range = head.header("range");
            if head.brings_blob() && !refused && !range.is_empty() {
                state.ranges.push(range.to_owned());
            }
            if refused { None } else { state.fault(&head) }
        };
        match fault {
            Some(What::Hangup) => return,
            Some(What::Silence) => return hold(&mut stream),
            Some(What::AnswerEarly(status)) => {
                let _ = write_reply(
                    &mut stream,
                    &head,
                    &Reply::new(status).header("Connection", "close"),
                    None,
                    shared,
                );
                return;
            }
            _ => {}
        }
        let cut = match fault {
            Some(What::CutUpload(after)) => Some(after),
            _ => None,
        };
        let Some(body) = receive_body(
            &mut stream,
            &mut buffer,
            head.length.min(cut.unwrap_or(usize::MAX)),
        ) else {
            return;
        };
        if head.path().contains("/uploads/") || head.path().starts_with("/upload/") {
            shared.state.lock().unwrap().upload_bytes_received += body.len() as u64;
        }
        if cut.is_some() {
            uploads::broken(shared, &head, &body);
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let reply = match fault {
            // Nothing happens to the upload.
            Some(What::Unauthorized) => tokens::expired(shared),
            Some(What::Answer(..)) => bend(Reply::default(), fault.as_ref()),
            _ => bend(answer(shared, &head, &body), fault.as_ref()),
        };
        if !write_reply(&mut stream, &head, &reply, fault.as_ref(), shared) {
            return;
        }
    }
}

fn answer(shared: &Arc<Shared>, head: &Head, body: &[u8]) -> Reply {
    if head.place == Place::Storage {
        if !head.header("authorization").is_empty() {
            shared
                .state
                .lock()
                .unwrap()
                .complaints
                .push(format!("{} had credentials", head.target));
            return Reply::new(400).body("only one auth mechanism allowed");
        }
        return match head.path().strip_prefix("/stored/") {
            Some(digest) => reads::stored(shared, head, digest, true),
            None => uploads::answer(shared, head, body),
        };
    }
    if head.path() == "/token" {
        return tokens::answer(shared, head, body);
    }
    if let Some(digest) = head.path().strip_prefix("/direct/") {
        return reads::stored(shared, head, digest, true);
    }
    if let Some(refusal) = tokens::refusal(shared, head) {
        return refusal;
    }
    let path = head.path();
    if path == "/v2/" {
        return Reply::new(200).body("{}");
    }
    if path.contains("/blobs/uploads/") {
        uploads::answer(shared, head, body)
    } else if path.contains("/blobs/") {
        reads::blob(shared, head)
    } else if path.contains("/manifests/") {
        manifests::answer(shared, head, body)
    } else if let Some(repository) = path
        .strip_prefix("/v2/")
        .and_then(|rest| rest.strip_suffix("/tags/list"))
    {
        manifests::tags(shared, repository)
    } else {
        Reply::error(404, "NAME_UNKNOWN", "not found")
    }
}

/// The reply as the fault wants it.
fn bend(mut reply: Reply, fault: Option<&What>) -> Reply {
    let digest_header = |reply: &mut Reply| {
        reply
            .headers
            .retain(|(name, _)| name != "Docker-Content-Digest");
    };
    match fault {
        Some(What::Answer(status, headers, body)) => {
            reply = Reply::new(*status).body(*body);
            for (name, value) in headers {
                reply = reply.header(name, value.clone());
            }
        }
        Some(What::Html) => {
            reply = Reply::new(200)
                .header("Content-Type", "text/html; charset=utf-8")
                .body("<html><body>Please log in</body></html>");
        }
        Some(What::Corrupt) if !reply.body.is_empty() => {
            let middle = reply.body.len() / 2;
            reply.body[middle] ^= 1;
        }
        Some(What::Short) => reply.body.truncate(reply.body.len() / 2),
        Some(What::AlsoSays(name, value)) => reply = reply.header(name, value.clone()),
        Some(What::NoDigest) => digest_header(&mut reply),
        Some(What::WrongDigest) => {
            digest_header(&mut reply);
            reply = reply.header(
                "Docker-Content-Digest",
                kiln_store::Digest::sha256(b"another").to_string(),
            );
        }
        _ => {}
    }
    reply
}

/// Writes a reply; false if the connection is over.
fn write_reply(
    stream: &mut TcpStream,
    head: &Head,
    reply: &Reply,
    fault: Option<&What>,
    shared: &Shared,
) -> bool {
    let mut text = format!("HTTP/1.1 {} Test\r\n", reply.status);
    let named = |name: &str| {
        reply
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !named("content-length") && reply.status != 204 {
        text.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    text.push_str("\r\n");
    if stream.write_all(text.as_bytes()).is_err() {
        return false;
    }
    let stop = match fault {
        Some(What::CutReply(after) | What::Stall(after) | What::Crawl(after)) => {
            (*after).min(reply.body.len())
        }
        _ => reply.body.len(),
    };
    let body = if head.method == "HEAD" {
        &[]
    } else {
        &reply.body[..stop]
    };
    for piece in body.chunks(64 << 10) {
        if stream.write_all(piece).is_err() {
            return false;
        }
        if reply.is_blob {
            shared.state.lock().unwrap().blob_bytes_sent += piece.len() as u64;
        }
    }
    match fault {
        Some(What::Stall(_)) => {
            hold(stream);
            false
        }
        Some(What::Crawl(_)) => {
            for byte in &reply.body[stop..] {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                // Not a deadline: it only keeps the bytes apart.
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            false
        }
        Some(What::CutReply(_)) => {
            let _ = stream.shutdown(Shutdown::Both);
            false
        }
        _ => true,
    }
}

/// Keeps the connection open and silent until the client hangs up.
fn hold(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(length) if length > 0) {}
}

fn receive_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    place: Place,
    shared: &Shared,
) -> Option<Head> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if !read_more(stream, buffer) {
            return None;
        }
    };
    let text = String::from_utf8(buffer[..end].to_vec()).unwrap();
    buffer.drain(..end + 4);
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let has_body = matches!(method.as_str(), "POST" | "PUT" | "PATCH");
    if has_body && length.is_none() {
        let complaint = format!("{method} {target} has no length");
        shared.state.lock().unwrap().complaints.push(complaint);
    }
    Some(Head {
        method,
        target,
        headers,
        length: length.unwrap_or(0),
        place,
        direct: matches!(shared.profile.storage, super::profile::Storage::Own { .. }),
    })
}

/// The body, as much of it as is wanted.
fn receive_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        if !read_more(stream, buffer) {
            return None;
        }
    }
    Some(buffer.drain(..length).collect())
}

fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut piece = [0; 64 << 10];
    match stream.read(&mut piece) {
        Ok(length) if length > 0 => {
            buffer.extend_from_slice(&piece[..length]);
            true
        }
        _ => false,
    }
}

/// Percent-decoding.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
