//! Programs built in one stage and shipped in another.

use crate::host::{Host, curl};

/// A static program alone in its image.
pub fn rust(host: &Host) {
    alone(host, "rust", "built with rustc\n");
}

/// The same, as another user than root, its compiler's cache in a cache mount.
pub fn go(host: &Host) {
    alone(host, "go", "built with go\n");
}

fn alone(host: &Host, name: &str, answer: &str) {
    let image = host.build(name);
    let address = host.serve(
        name,
        8000,
        &["--read-only", "--cap-drop", "ALL"],
        &image.name,
    );
    assert_eq!(host.ask_until_ready(name, || curl(address, "/")), answer);
    // Nothing of the stage before came along, not even a shell.
    assert_eq!(host.run(&["exec", name, "sh", "-c", "true"]).code(), 127);
    host.ok(&["rm", "-f", name]);
}

/// A root with musl's C library, which stands in for Alpine.
pub fn musl(host: &Host) {
    let image = host.build("musl");
    assert_eq!(
        host.ok(&["run", "--rm", "--network", "none", &image.name]),
        "guest localhost\n"
    );
    let own = [
        "run",
        "--rm",
        "--user",
        "root",
        "--network",
        "none",
        &image.name,
        "who-am-i",
    ];
    assert_eq!(host.ok(&own), "root localhost\n");
}
