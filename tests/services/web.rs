//! Web servers and applications.

use crate::host::{Host, ask, curl};

/// Two from one image, each with its own page; the page outlives a stop.
pub fn nginx(host: &Host) {
    let image = host.build("nginx");
    let one = host.serve("one", 80, &[], &image.name);
    let two = host.serve("two", 80, &[], &image.name);
    let page = |name: &str, address| host.ask_until_ready(name, || curl(address, "/"));
    assert_eq!(page("one", one), "<p>served by nginx</p>\n");
    assert_eq!(page("two", two), "<p>served by nginx</p>\n");
    host.ok(&[
        "exec",
        "two",
        "sh",
        "-c",
        "echo changed > /var/www/html/index.html",
    ]);
    assert_eq!(page("two", two), "changed\n");
    assert_eq!(page("one", one), "<p>served by nginx</p>\n");
    assert!(
        host.ok(&["logs", "two"])
            .contains("\"GET / HTTP/1.1\" 200 8 ")
    );
    host.ok(&["stop", "two"]);
    assert!(
        host.ok(&["ps", "-a", "--filter", "name=two"])
            .contains("Exited (0)"),
        "SIGQUIT ends it well"
    );
    host.ok(&["start", "two"]);
    assert_eq!(page("two", two), "changed\n");
    host.ok(&["rm", "-f", "one", "two"]);
}

/// An application that keeps its state in memory, and ends when it is told to.
pub fn express(host: &Host) {
    let image = host.build("express");
    let address = host.serve("notes", 3000, &[], &image.name);
    assert_eq!(
        host.ask_until_ready("notes", || curl(address, "/notes")),
        "[]"
    );
    let mut post = curl(address, "/notes");
    post.args([
        "--header",
        "Content-Type: application/json",
        "--data",
        "{\"text\": \"a note\"}",
    ]);
    assert_eq!(ask(post), "{\"count\":1}");
    assert_eq!(ask(curl(address, "/notes")), "[\"a note\"]");
    assert_eq!(host.ok(&["logs", "notes"]), "listening on 3000\n");
    host.ok(&["stop", "notes"]);
    assert_eq!(host.ok(&["wait", "notes"]), "0\n");
    host.ok(&["rm", "notes"]);
}

/// An application that is told by its environment what to say.
pub fn flask(host: &Host) {
    let image = host.build("flask");
    let plain = host.serve("plain", 5000, &[], &image.name);
    let other = host.serve("other", 5000, &["--env", "GREETING=Moin"], &image.name);
    let hello = |name: &str, address| host.ask_until_ready(name, || curl(address, "/hello/kiln"));
    assert_eq!(hello("plain", plain), "{\"text\":\"Hello, kiln!\"}\n");
    assert_eq!(hello("other", other), "{\"text\":\"Moin, kiln!\"}\n");
    host.ok(&["rm", "-f", "plain", "other"]);
}
