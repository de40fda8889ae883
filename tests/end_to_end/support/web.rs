//! A web server on loopback: files with their validators, and repositories through `git http-backend`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A file that is served.
#[derive(Debug, Clone, Default)]
pub struct File {
    pub content: Vec<u8>,
    pub etag: Option<&'static str>,
    pub last_modified: Option<&'static str>,
    /// What a request has to bring along.
    pub authorization: Option<&'static str>,
    /// Where it is instead.
    pub location: Option<String>,
}

impl File {
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        Self {
            content: content.into(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    repositories: Option<PathBuf>,
    log: Vec<String>,
}

/// A running server; it ends with this value.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
}

impl Web {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (state, over) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (shared, ended) = (Arc::clone(&state), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        Self {
            address,
            state,
            over,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn put(&self, path: &str, file: File) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), file);
    }

    /// Serves the repositories in a directory below `/git/`.
    pub fn put_repositories(&self, directory: &Path) {
        self.state.lock().unwrap().repositories = Some(directory.to_owned());
    }

    /// What was asked since the last call, each as `METHOD PATH STATUS`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let (head, body) = match answer(&asked, state) {
            Some(answer) => answer,
            None => return,
        };
        let status = head.split(' ').next().unwrap_or_default().to_owned();
        let line = format!("{} {} {status}", asked.method, asked.path);
        state.lock().unwrap().log.push(line);
        let text = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.write_all(&body))
            .is_err()
        {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

/// The status with further headers, and the body.
fn answer(asked: &Asked, state: &Mutex<State>) -> Option<(String, Vec<u8>)> {
    let (file, repositories) = {
        let state = state.lock().unwrap();
        (
            state.files.get(&asked.path).cloned(),
            state.repositories.clone(),
        )
    };
    if let (Some(directory), Some(path)) = (repositories, asked.path.strip_prefix("/git/")) {
        let private = path.starts_with("private");
        // x-access-token:secret
        if private
            && asked.headers.get("authorization").map(String::as_str)
                != Some("basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0")
        {
            return Some((
                "401 Unauthorized\r\nWWW-Authenticate: Basic".to_owned(),
                Vec::new(),
            ));
        }
        return Some(backend(asked, &directory, path));
    }
    let Some(file) = file else {
        return Some(("404 Not Found".to_owned(), b"nothing here".to_vec()));
    };
    if let Some(location) = &file.location {
        return Some((format!("302 Found\r\nLocation: {location}"), Vec::new()));
    }
    let header = |name: &str| asked.headers.get(name).map(String::as_str);
    if file.authorization.is_some() && header("authorization") != file.authorization {
        return Some(("401 Unauthorized".to_owned(), Vec::new()));
    }
    let is_known = match file.etag {
        Some(etag) => header("if-none-match") == Some(etag),
        None => file.last_modified.is_some() && header("if-modified-since") == file.last_modified,
    };
    let mut head = if is_known {
        "304 Not Modified"
    } else {
        "200 OK"
    }
    .to_owned();
    for (name, value) in [("ETag", file.etag), ("Last-Modified", file.last_modified)] {
        if let Some(value) = value {
            head.push_str(&format!("\r\n{name}: {value}"));
        }
    }
    Some((head, if is_known { Vec::new() } else { file.content }))
}

/// Asks git's own server (gitprotocol-http).
fn backend(asked: &Asked, directory: &Path, path: &str) -> (String, Vec<u8>) {
    let header = |name: &str| asked.headers.get(name).map_or("", String::as_str);
    let mut child = Command::new(xtask::program::find("git").unwrap())
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "uploadpack.allowFilter=true",
            "http-backend",
        ])
        .env("GIT_PROJECT_ROOT", directory)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", &asked.query)
        .env("REQUEST_METHOD", &asked.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&asked.body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK")
        .to_owned();
    let others = head.lines().filter(|line| !line.starts_with("Status: "));
    let head = others.fold(status, |head, line| format!("{head}\r\n{line}"));
    (head, output.get(end + 4..).unwrap_or_default().to_vec())
}
