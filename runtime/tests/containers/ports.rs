//! Published ports.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use kiln_runtime::container::{Attach, Container, CreateOptions};

use crate::Test;
use crate::support::{Context, wait_for_log};

pub(crate) const TESTS: &[Test] = &[
    ("a_page_is_served", page),
    ("many_requests_at_once", parallel),
    ("half_closed_connections_are_carried", half_close),
    ("large_bodies_with_a_slow_reader", slow),
    ("a_taken_port_is_named_with_its_owner", taken),
    ("a_port_is_free_again_after_the_end", released),
    ("nothing_listens_inside", refused),
];

fn server(context: &Context, publish: &str) -> Container {
    let options = CreateOptions {
        publish: vec![publish.to_owned()],
        name: Some("server".to_owned()),
        ..context.shell("echo ready; exec httpd -f -vv -p 80 -h /www")
    };
    let container = context.detached(&options);
    wait_for_log(&container, "ready");
    container
}

fn address(container: &Container) -> SocketAddr {
    container.state().unwrap().ports[0].host
}

/// Fetches a page. The server may not listen yet: then the connection is closed without an answer, and tried again.
fn fetch(address: SocketAddr) -> String {
    for _ in 0..100_000 {
        let mut text = String::new();
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n");
        if stream.read_to_string(&mut text).is_ok() && !text.is_empty() {
            return text;
        }
        std::thread::yield_now();
    }
    panic!("no answer from {address}");
}

fn page(context: &Context) {
    let container = server(context, "127.0.0.1::80");
    let text = fetch(address(&container));
    assert!(
        text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200"),
        "{text}"
    );
    assert!(text.ends_with("the page\n"), "{text}");
    // httpd tells on its standard error whom it served.
    wait_for_log(&container, "response:200");
}

fn parallel(context: &Context) {
    let address = address(&server(context, "127.0.0.1::80"));
    fetch(address);
    let threads: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                (0..25)
                    .filter(|_| fetch(address).ends_with("the page\n"))
                    .count()
            })
        })
        .collect();
    assert_eq!(
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<usize>(),
        16 * 25
    );
}

/// A container that serves one connection with a program.
fn service(context: &Context, program: &str) -> (Container, SocketAddr) {
    let script = format!("echo ready; nc -l -p 7 -e {program}; exec sleep 1000");
    let container = context.detached(&CreateOptions {
        publish: vec!["127.0.0.1::7".to_owned()],
        ..context.shell(&script)
    });
    wait_for_log(&container, "ready");
    let address = address(&container);
    (container, address)
}

/// Connects until the other side answers the first bytes.
fn connect(address: SocketAddr, hello: &[u8]) -> (TcpStream, Vec<u8>) {
    for _ in 0..100_000 {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = [0; 1];
        if stream.write_all(hello).is_ok() && stream.read_exact(&mut answer).is_ok() {
            return (stream, answer.to_vec());
        }
        std::thread::yield_now();
    }
    panic!("no answer from {address}");
}

fn half_close(context: &Context) {
    let (_container, address) = service(context, "cat");
    let (mut stream, mut got) = connect(address, b"begin ");
    stream.write_all(b"and end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), "begin and end");
}

fn slow(context: &Context) {
    let (_container, address) = service(context, "cat");
    let (stream, mut got) = connect(address, b"x");
    let mut sender = stream.try_clone().unwrap();
    let body: Vec<u8> = (0..20_u32 << 20)
        .map(|number| (number % 251) as u8)
        .collect();
    let expected = body.clone();
    let writer = std::thread::spawn(move || {
        sender.write_all(&body).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    // Nothing is read until the way is full, so that both directions have to wait.
    let mut stream = stream;
    stream.read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert!(
        got[1..] == expected[..],
        "{} bytes of {}",
        got.len() - 1,
        expected.len()
    );
}

fn taken(context: &Context) {
    let first = server(context, "127.0.0.1::80");
    let port = address(&first).port();
    let second = context.create(&CreateOptions {
        publish: vec![format!("127.0.0.1:{port}:80")],
        ..context.shell("exec sleep 1000")
    });
    let error = context.try_start(&second, Attach::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "bind for 127.0.0.1:{port} failed: port is already allocated (by container server)"
        )
    );
    assert_eq!(error.exit_code(), 125);
}

fn released(context: &Context) {
    let first = server(context, "127.0.0.1::80");
    let port = address(&first).port();
    fetch(address(&first));
    first.remove(true, true).unwrap();
    let second = server(context, &format!("127.0.0.1:{port}:80"));
    assert!(fetch(address(&second)).ends_with("the page\n"));
    second.stop(Some(0), None).unwrap();
    drop(context.start(&second, Attach::default()));
    assert!(
        fetch(address(&second)).ends_with("the page\n"),
        "and after a restart"
    );
}

fn refused(context: &Context) {
    let container = context.detached(&CreateOptions {
        publish: vec!["127.0.0.1::80".to_owned()],
        ..context.shell("exec sleep 1000")
    });
    let mut stream = TcpStream::connect(address(&container)).unwrap();
    let mut buffer = Vec::new();
    // Closed or reset, but not held.
    let _ = stream.read_to_end(&mut buffer);
    assert!(buffer.is_empty());
}
