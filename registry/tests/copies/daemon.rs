//! A docker engine, played by a thread on a socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kiln_registry::{Archive, Daemon};

use super::*;

/// What the engine has been given, and what it answers to that.
struct Engine {
    socket: PathBuf,
    held: Arc<Mutex<Vec<u8>>>,
}

impl Engine {
    fn start(root: &Path, answer: &'static str) -> Self {
        let socket = root.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let held: Arc<Mutex<Vec<u8>>> = Arc::default();
        let shared = held.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &shared, answer);
            }
        });
        Self { socket, held }
    }
}

fn serve(stream: UnixStream, held: &Mutex<Vec<u8>>, answer: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
    }
    let mut reply = |status: &str, kind: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
    };
    if request.starts_with("POST /images/load") {
        *held.lock().unwrap() = chunked(&mut reader);
        reply("200 OK", "application/json", answer.as_bytes());
    } else if request.starts_with("GET /images/here:1/get") {
        let held = held.lock().unwrap().clone();
        reply("200 OK", "application/x-tar", &held);
    } else {
        reply(
            "404 Not Found",
            "application/json",
            br#"{"message":"No such image"}"#,
        );
    }
}

fn chunked(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&piece[..size]);
    }
}

#[tokio::test]
async fn images_go_into_an_engine_and_come_back() {
    let root = scratch();
    let image = TestImage::new(91, &[700_000, 10]);
    image.write_layout(&root.path().join("l"), "x");
    let layout = Layout::open(&root.path().join("l")).unwrap();
    let engine = Engine::start(root.path(), "{\"stream\":\"Loaded image: here:1\\n\"}\n");
    let daemon = Daemon::new(&engine.socket).unwrap();
    let load = daemon.load().unwrap();
    copied(
        layout,
        &tag("x"),
        load.writer(),
        &[tag("here:1")],
        &CopyOptions::default(),
    )
    .await;
    load.finish().await.unwrap();
    assert!(!engine.held.lock().unwrap().is_empty());

    let archive: Archive = daemon
        .image(&reference("here:1"), root.path())
        .await
        .unwrap();
    let name = archive.only().unwrap();
    let out = Layout::create(&root.path().join("out")).unwrap();
    let done = copied(archive, &name, &out, &[tag("y")], &CopyOptions::default()).await;
    assert_eq!(done.digest, image.digest());

    let error = daemon
        .image(&reference("gone:1"), root.path())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("gone:1"), "{error}");
}

#[tokio::test]
async fn an_engines_refusal_is_told() {
    let root = scratch();
    let image = TestImage::new(92, &[10]);
    image.write_layout(&root.path().join("l"), "x");
    let layout = Layout::open(&root.path().join("l")).unwrap();
    let answer = "{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"no space left on device\"}\n";
    let engine = Engine::start(root.path(), answer);
    let load = Daemon::new(&engine.socket).unwrap().load().unwrap();
    copied(
        layout,
        &tag("x"),
        load.writer(),
        &[tag("here:1")],
        &CopyOptions::default(),
    )
    .await;
    let error = load.finish().await.unwrap_err().to_string();
    assert!(error.contains("no space left on device"), "{error}");

    let nobody = Daemon::new(&root.path().join("nobody.sock")).unwrap();
    let error = nobody
        .image(&reference("here:1"), root.path())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}
