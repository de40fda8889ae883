//! Databases: data that is theirs alone, and that outlives a restart and, in a volume, the container.

use std::net::SocketAddr;
use std::process::Command;

use crate::host::{Host, ask};

/// The password of every database.
const PASSWORD: &str = "a long enough one";

/// Two from one image with data of their own; a named volume survives its container; a restart keeps everything.
pub fn postgresql(host: &Host) {
    let image = host.build("postgresql");
    let password = format!("POSTGRES_PASSWORD={PASSWORD}");
    let volume = [
        "--env",
        &password,
        "--volume",
        "kept:/var/lib/postgresql/data",
    ];
    let one = host.serve("one", 5432, &volume, &image.name);
    let two = host.serve("two", 5432, &["--env", &password], &image.name);
    for (name, address) in [("one", one), ("two", two)] {
        host.ask_until_ready(name, || psql(address, "SELECT 1"));
        ask(psql(
            address,
            &format!("CREATE TABLE t AS SELECT '{name}' AS text"),
        ));
    }
    assert_eq!(ask(psql(one, "TABLE t")), "one\n");
    assert_eq!(ask(psql(two, "TABLE t")), "two\n");
    host.ok(&["restart", "two"]);
    assert_eq!(
        host.ask_until_ready("two", || psql(two, "TABLE t")),
        "two\n"
    );
    // SIGINT is a fast, clean shutdown.
    host.ok(&["stop", "one"]);
    assert_eq!(host.ok(&["wait", "one"]), "0\n");
    host.ok(&["rm", "one"]);
    let again = host.serve("again", 5432, &volume, &image.name);
    assert_eq!(
        host.ask_until_ready("again", || psql(again, "TABLE t")),
        "one\n"
    );
    host.ok(&["rm", "-f", "-v", "two", "again"]);
}

fn psql(address: SocketAddr, query: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .env("PGPASSWORD", PASSWORD)
        .env("PGCONNECT_TIMEOUT", "5");
    command.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--quiet",
        "--username=postgres",
    ]);
    command
        .arg(format!("--host={}", address.ip()))
        .arg(format!("--port={}", address.port()));
    command.args(["--command", query]);
    command
}

/// A table outlives a restart.
pub fn mariadb(host: &Host) {
    let image = host.build("mariadb");
    let password = format!("MARIADB_PASSWORD={PASSWORD}");
    let address = host.serve("maria", 3306, &["--env", &password], &image.name);
    let count = "SELECT count(*) FROM t";
    host.ask_until_ready("maria", || mariadb_client(address, "SELECT 1"));
    ask(mariadb_client(
        address,
        "CREATE TABLE t (n INT); INSERT INTO t VALUES (1), (2), (3)",
    ));
    assert_eq!(ask(mariadb_client(address, count)), "3\n");
    host.ok(&["restart", "maria"]);
    assert_eq!(
        host.ask_until_ready("maria", || mariadb_client(address, count)),
        "3\n"
    );
    host.ok(&["rm", "-f", "-v", "maria"]);
}

fn mariadb_client(address: SocketAddr, query: &str) -> Command {
    let mut command = Command::new("mariadb");
    command.env("MYSQL_PWD", PASSWORD);
    command.args([
        "--no-defaults",
        "--protocol=tcp",
        "--connect-timeout=5",
        "--user=app",
    ]);
    command
        .arg(format!("--host={}", address.ip()))
        .arg(format!("--port={}", address.port()));
    command.args(["--skip-column-names", "--batch", "--execute", query, "app"]);
    command
}

/// An anonymous volume of the image's keeps what was written through a kill.
pub fn redis(host: &Host) {
    let image = host.build("redis");
    let address = host.serve("cache", 6379, &[], &image.name);
    let ping = || redis_cli(address, &["PING"]);
    assert_eq!(host.ask_until_ready("cache", ping), "PONG\n");
    assert_eq!(ask(redis_cli(address, &["SET", "key", "kept"])), "OK\n");
    host.ok(&["kill", "cache"]);
    assert_eq!(host.ok(&["wait", "cache"]), "137\n");
    host.ok(&["start", "cache"]);
    assert_eq!(host.ask_until_ready("cache", ping), "PONG\n");
    assert_eq!(ask(redis_cli(address, &["GET", "key"])), "kept\n");
    host.ok(&["rm", "-f", "-v", "cache"]);
}

fn redis_cli(address: SocketAddr, words: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    // Without -e it ends with success after an error.
    command.arg("-e").args([
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ]);
    command.args(words);
    command
}
