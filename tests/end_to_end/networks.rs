//! Networks: two hosts, each a network namespace of its own, of which one runs containers.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;
use xtask::process::{self, Finished};

use crate::support::{TestEnv, as_root, as_user, lacks};

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than a loaded machine needs; only what is dropped waits for it.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The addresses of the host with containers, and those of the other.
pub(crate) const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
pub(crate) const CLIENT: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

#[test]
fn published_ports_show_the_clients_address() {
    as_root(publishing);
}

#[test]
fn names_and_isolation() {
    as_root(naming);
}

#[test]
fn networks_are_managed() {
    as_root(managing);
}

#[test]
fn many_containers_leave_nothing() {
    as_root(soaking);
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    as_user(without_root);
}

/// Two hosts with a cable between them. They end with the value.
pub(crate) struct Hosts {
    pub(crate) names: [String; 2],
}

impl Hosts {
    pub(crate) fn new(test: &str) -> Option<Self> {
        if lacks("ip") {
            return None;
        }
        let name = |side: &str| format!("kt-{test}-{side}-{}", std::process::id());
        let hosts = Self {
            names: [name("a"), name("b")],
        };
        for name in &hosts.names {
            if !ip(&["netns", "add", name]) {
                println!("skipped: needs network namespaces");
                return None;
            }
            assert!(ip(&["-n", name, "link", "set", "lo", "up"]));
        }
        let [a, b] = &hosts.names;
        let made = ip(&[
            "-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b,
        ]);
        if !made {
            println!("skipped: needs veth devices");
            return None;
        }
        for (name, addresses) in hosts.names.iter().zip([HOST, CLIENT]) {
            let v4 = format!("{}/24", addresses[0]);
            let v6 = format!("{}/64", addresses[1]);
            assert!(ip(&["-n", name, "addr", "add", &v4, "dev", "eth0"]));
            assert!(ip(&[
                "-n", name, "addr", "add", &v6, "dev", "eth0", "nodad"
            ]));
            assert!(ip(&["-n", name, "link", "set", "eth0", "up"]));
        }
        hosts.wait_for_the_cable();
        Some(hosts)
    }

    /// The kernel looks for carriers in its own time, and uses no IPv6 address before.
    fn wait_for_the_cable(&self) {
        let _listener = on(&self.host(), || TcpListener::bind(("::", 79)).unwrap());
        let deadline = Instant::now() + LIMIT;
        for address in HOST {
            let to = SocketAddr::new(address.parse().unwrap(), 79);
            let connect = move || TcpStream::connect_timeout(&to, PATIENCE).is_ok();
            while !on(&self.client(), connect) {
                assert!(Instant::now() < deadline, "{to} is not reached");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Runs kiln on the host with containers.
    pub(crate) fn run(&self, env: &TestEnv, arguments: &[&str]) -> Finished {
        let kiln = env.kiln().command(arguments);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[0]]);
        command.arg(kiln.get_program()).args(kiln.get_args());
        process::capture(&mut command, LIMIT).unwrap()
    }

    fn ok(&self, env: &TestEnv, arguments: &[&str]) -> String {
        let finished = self.run(env, arguments);
        assert!(
            finished.status.success(),
            "{arguments:?}: {}",
            finished.stderr
        );
        assert_eq!(finished.stderr, "", "{arguments:?}");
        finished.stdout.trim_end().to_owned()
    }

    fn host(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.names[0])
    }

    pub(crate) fn client(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.names[1])
    }

    /// Starts a container that only waits; its namespace.
    fn container(&self, env: &TestEnv, name: &str, arguments: &[&str]) -> PathBuf {
        let mut all = vec!["run", "--detach", "--name", name];
        all.extend(arguments);
        all.extend(["base", "sleep", "1000"]);
        self.ok(env, &all);
        let pid = self.ok(env, &["inspect", "--format", "{{.State.Pid}}", name]);
        PathBuf::from(format!("/proc/{pid}/ns/net"))
    }

    fn address(&self, env: &TestEnv, name: &str, network: &str, v4: bool) -> IpAddr {
        let field = if v4 { "IPAddress" } else { "GlobalIPv6Address" };
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}");
        let text = self.ok(env, &["inspect", "--format", &format, name]);
        text.parse().unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&["netns", "del", name]);
        }
    }
}

pub(crate) fn ip(arguments: &[&str]) -> bool {
    let finished = process::capture(Command::new("ip").args(arguments), LIMIT).unwrap();
    finished.status.success()
}

/// Runs `work` in a thread on another host or inside of a container. Sockets stay where they were made.
pub(crate) fn on<T: Send + 'static>(
    namespace: &PathBuf,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let namespace = File::open(namespace).unwrap();
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    });
    thread.join().unwrap()
}

/// Sends a byte from one place to a port that a container listens on; who the container saw, or why nothing came.
fn reach(from: &PathBuf, to: SocketAddr, server: &Server) -> Option<IpAddr> {
    match server {
        Server::Tcp(listener) => {
            let client = on(from, move || TcpStream::connect_timeout(&to, PATIENCE));
            client.ok()?;
            Some(listener.accept().unwrap().1.ip().to_canonical())
        }
        Server::Udp(socket) => {
            let client = on(from, move || {
                let unspecified: IpAddr = match to {
                    SocketAddr::V4(_) => [0, 0, 0, 0].into(),
                    SocketAddr::V6(_) => [0; 16].into(),
                };
                let socket = UdpSocket::bind((unspecified, 0)).unwrap();
                socket.connect(to).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.send(b"?").map(|_| socket)
            });
            let client = client.ok()?;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut byte = [0];
            let (_, peer) = socket.recv_from(&mut byte).ok()?;
            socket.send_to(b"!", peer).unwrap();
            client.recv(&mut byte).unwrap();
            assert_eq!(byte, *b"!");
            Some(peer.ip().to_canonical())
        }
    }
}

/// The same where it has to work: a bridge that has just got its first port uses no IPv6 address for a moment.
fn reach_soon(from: &PathBuf, to: SocketAddr, server: &Server) -> Option<IpAddr> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match reach(from, to, server) {
            None if Instant::now() < deadline => {}
            found => return found,
        }
    }
}

enum Server {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Server {
    /// Listens on every address of a container.
    fn tcp(container: &PathBuf, port: u16) -> Self {
        Self::Tcp(on(container, move || {
            TcpListener::bind(("::", port)).unwrap()
        }))
    }

    fn udp(container: &PathBuf, port: u16) -> Self {
        Self::Udp(on(container, move || {
            UdpSocket::bind(("::", port)).unwrap()
        }))
    }
}

fn publishing(env: &TestEnv) {
    let Some(hosts) = Hosts::new("publish") else {
        return;
    };
    let publish = ["-p", "8080:80", "-p", "5300:53/udp"];
    let web = hosts.container(env, "web", &publish);
    let servers = [(8080, Server::tcp(&web, 80)), (5300, Server::udp(&web, 53))];
    for (port, server) in &servers {
        for (host, client) in HOST.into_iter().zip(CLIENT) {
            let to = SocketAddr::new(host.parse().unwrap(), *port);
            let peer = reach_soon(&hosts.client(), to, server);
            assert_eq!(peer, client.parse().ok(), "from outside to {to}");
            let peer = reach_soon(&hosts.host(), to, server);
            assert_eq!(peer, host.parse().ok(), "from the host to {to}");
        }
        for own in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(own.parse().unwrap(), *port);
            assert!(reach_soon(&hosts.host(), to, server).is_some(), "by {to}");
        }
    }
    // Another container, by the host's address.
    let other = hosts.container(env, "other", &[]);
    for host in HOST {
        let to = SocketAddr::new(host.parse().unwrap(), 8080);
        assert!(
            reach_soon(&other, to, &servers[0].1).is_some(),
            "from a container to {to}"
        );
    }
    // Outside is reached with the host's address.
    let outside = on(&hosts.client(), || TcpListener::bind(("::", 81)).unwrap());
    for (host, client) in HOST.into_iter().zip(CLIENT) {
        let to = SocketAddr::new(client.parse().unwrap(), 81);
        on(&other, move || TcpStream::connect_timeout(&to, LIMIT)).unwrap();
        let peer = outside.accept().unwrap().1.ip().to_canonical();
        assert_eq!(peer, host.parse::<IpAddr>().unwrap());
    }
    // What is not published is not reached from outside, even with a route to it.
    let inner = hosts.address(env, "web", "bridge", true);
    assert!(ip(&[
        "-n",
        &hosts.names[1],
        "route",
        "add",
        &format!("{inner}/32"),
        "via",
        HOST[0]
    ]));
    let to = SocketAddr::new(inner, 80);
    assert_eq!(reach(&hosts.client(), to, &servers[0].1), None);
    assert!(reach(&hosts.host(), to, &servers[0].1).is_some());

    let taken = hosts.run(env, &["run", "--rm", "-p", "8080:1", "base", "true"]);
    assert!(
        taken
            .stderr
            .contains("port is already allocated (by container web)"),
        "{}",
        taken.stderr
    );
    restores_flushed_rules(env, &hosts, &servers[0].1);
    hosts.ok(env, &["rm", "--force", "web"]);
    let to = SocketAddr::new(HOST[0].parse().unwrap(), 8080);
    assert!(
        on(&hosts.client(), move || TcpStream::connect_timeout(
            &to, PATIENCE
        ))
        .is_err()
    );
}

/// A firewall that is reloaded takes all rules away; the monitors put theirs back.
fn restores_flushed_rules(env: &TestEnv, hosts: &Hosts, server: &Server) {
    if lacks("nft") {
        return;
    }
    let flush = ["netns", "exec", &hosts.names[0], "nft", "flush", "ruleset"];
    assert!(ip(&flush));
    let to = SocketAddr::new(HOST[0].parse().unwrap(), 8080);
    let deadline = Instant::now() + LIMIT;
    while reach(&hosts.client(), to, server) != CLIENT[0].parse().ok() {
        assert!(Instant::now() < deadline, "the rules stay away");
    }
    let _ = env;
}

fn naming(env: &TestEnv) {
    let Some(hosts) = Hosts::new("names") else {
        return;
    };
    hosts.ok(env, &["network", "create", "front"]);
    hosts.ok(env, &["network", "create", "back"]);
    let early = hosts.container(env, "early", &["--network", "front"]);
    let late = hosts.container(
        env,
        "late",
        &["--network", "front", "--network-alias", "db"],
    );
    let far = hosts.container(env, "far", &["--network", "back"]);
    let look_up = |from: &str, name: &str| {
        let found = hosts.run(env, &["exec", from, "nslookup", name]);
        found.stdout.contains("Name:")
    };
    // One that was started later, by name, alias and whole name; not one of another network.
    for name in ["late", "db", "LATE", "late.front"] {
        assert!(look_up("early", name), "{name}");
    }
    assert!(!look_up("early", "far") && !look_up("far", "late"));
    for v4 in [true, false] {
        let to = SocketAddr::new(hosts.address(env, "late", "front", v4), 90 + u16::from(v4));
        let server = Server::tcp(&late, to.port());
        let own = hosts.address(env, "early", "front", v4);
        assert_eq!(reach(&early, to, &server), Some(own));
        assert_eq!(reach(&far, to, &server), None, "another network");
        hosts.ok(
            env,
            &["network", "connect", "--alias", "third", "front", "far"],
        );
        assert!(reach(&far, to, &server).is_some(), "after connecting");
        assert!(look_up("early", "third") && look_up("far", "db"));
        hosts.ok(env, &["network", "disconnect", "front", "far"]);
        assert_eq!(reach(&far, to, &server), None, "after disconnecting");
        assert!(!look_up("early", "third"));
    }
    let shared = [
        "run",
        "--rm",
        "--network",
        "container:late",
        "base",
        "sh",
        "-c",
        "hostname; ip addr",
    ];
    let shown = hosts.ok(env, &shared);
    let hostname = hosts.ok(env, &["exec", "late", "hostname"]);
    assert!(shown.starts_with(&hostname), "{shown}");
    assert!(
        shown.contains(&hosts.address(env, "late", "front", true).to_string()),
        "{shown}"
    );
    hosts.ok(env, &["stop", "--time", "0", "late"]);
    assert!(!look_up("early", "late"));
    hosts.ok(env, &["start", "late"]);
    assert!(look_up("early", "late"));
}

fn managing(env: &TestEnv) {
    let Some(hosts) = Hosts::new("manage") else {
        return;
    };
    let create = [
        "network",
        "create",
        "--subnet",
        "10.97.0.0/24",
        "--gateway",
        "10.97.0.254",
        "--ip-range",
        "10.97.0.64/26",
        "--internal",
        "--label",
        "a=b",
        "inner",
    ];
    let id = hosts.ok(env, &create);
    assert_eq!(id.len(), 64);
    let field = |format: &str| hosts.ok(env, &["network", "inspect", "--format", format, "inner"]);
    assert_eq!(
        field("{{.Id}} {{.Driver}} {{.Internal}}"),
        format!("{id} bridge true")
    );
    assert_eq!(field("{{(index .IPAM.Config 0).Gateway}}"), "10.97.0.254");
    let names = hosts.ok(env, &["network", "ls", "--format", "{{.Name}} {{.Driver}}"]);
    assert_eq!(names, "bridge bridge\nhost host\ninner bridge\nnone null");
    let quiet = hosts.ok(
        env,
        &[
            "network",
            "ls",
            "--quiet",
            "--no-trunc",
            "--filter",
            "label=a=b",
        ],
    );
    assert_eq!(quiet, id);

    let one = hosts.container(env, "one", &["--network", "inner"]);
    assert_eq!(
        hosts.address(env, "one", "inner", true).to_string(),
        "10.97.0.64"
    );
    hosts.container(env, "two", &["--network", "inner", "--ip", "10.97.0.9"]);
    let twice = hosts.run(
        env,
        &[
            "run",
            "--rm",
            "--network",
            "inner",
            "--ip",
            "10.97.0.9",
            "base",
        ],
    );
    assert!(
        twice.stderr.contains("Address already in use"),
        "{}",
        twice.stderr
    );
    // Nothing leads outside.
    let outside = on(&hosts.client(), || {
        TcpListener::bind(("0.0.0.0", 82)).unwrap()
    });
    let to = SocketAddr::new(CLIENT[0].parse().unwrap(), 82);
    assert!(on(&one, move || TcpStream::connect_timeout(&to, PATIENCE)).is_err());
    drop(outside);

    let fails = |arguments: &[&str], reason: &str| {
        let finished = hosts.run(env, arguments);
        assert!(!finished.status.success(), "{arguments:?}");
        assert!(
            finished.stderr.contains(reason),
            "{arguments:?}: {}",
            finished.stderr
        );
    };
    fails(&["network", "rm", "inner"], "has active endpoints");
    fails(&["network", "rm", "bridge"], "pre-defined");
    fails(&["network", "create", "inner"], "already exists");
    fails(
        &["network", "create", "--driver", "overlay", "x"],
        "could not find plugin overlay",
    );
    fails(&["network", "create", "a/b"], "invalid network name");
    fails(
        &["network", "create", "--subnet", "10.97.0.0/16", "x"],
        "overlaps",
    );
    fails(
        &["network", "inspect", "nothing"],
        "network nothing not found",
    );
    fails(
        &["run", "--network", "nothing", "base"],
        "network nothing not found",
    );
    fails(
        &["run", "--ip", "10.0.0.1", "base"],
        "user-defined networks",
    );
    fails(&["run", "--hostname", "a\nb", "base"], "");
    fails(&["run", "--dns", "1.1.1.1\nnameserver 2.2.2.2", "base"], "");
    hosts.ok(env, &["rm", "--force", "one", "two"]);
    hosts.ok(env, &["network", "create", "unused"]);
    let pruned = hosts.ok(
        env,
        &["network", "prune", "--force", "--filter", "label!=a"],
    );
    assert_eq!(pruned, "Deleted Networks:\nunused");
    assert_eq!(hosts.ok(env, &["network", "rm", "inner"]), "inner");
}

/// Containers that come and go, some of them by force.
fn soaking(env: &TestEnv) {
    /// More than a step of any kind of counter here.
    const COUNT: usize = 50;
    let Some(hosts) = Hosts::new("soak") else {
        return;
    };
    let started = Instant::now();
    for number in 0..COUNT {
        let (name, port) = (format!("c{number}"), format!("{}:80", 9000 + number));
        match number % 5 {
            0 => {
                hosts.ok(
                    env,
                    &[
                        "run", "--detach", "--name", &name, "-p", &port, "base", "sleep", "1000",
                    ],
                );
                hosts.ok(env, &["rm", "--force", &name]);
            }
            1 => {
                hosts.container(env, &name, &["-p", &port]);
                let format = "{{.State.MonitorPid}}";
                let monitor = hosts.ok(env, &["inspect", "--format", format, &name]);
                assert!(
                    Command::new("kill")
                        .args(["-KILL", &monitor])
                        .status()
                        .unwrap()
                        .success()
                );
                hosts.run(env, &["rm", "--force", &name]);
            }
            _ => {
                hosts.ok(env, &["run", "--rm", "-p", &port, "base", "true"]);
            }
        }
    }
    println!("{COUNT} containers in {:?}", started.elapsed());
    // The next one finds what killed monitors left.
    hosts.ok(env, &["run", "--rm", "base", "true"]);
    let endpoints = env.kiln().root().join("networks/bridge/endpoints");
    let left: Vec<_> = std::fs::read_dir(endpoints).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let listed = |arguments: &[&str]| {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &hosts.names[0]])
            .args(arguments);
        process::capture(&mut command, LIMIT).unwrap().stdout
    };
    // The kernel takes devices away in its own time.
    let deadline = Instant::now() + LIMIT;
    while listed(&["ip", "-brief", "link"]).contains("kveth") {
        assert!(Instant::now() < deadline, "devices are left");
        std::thread::sleep(Duration::from_millis(20));
    }
    if !lacks("nft") {
        let rules = listed(&["nft", "list", "ruleset"]);
        assert!(
            rules.contains("forward-kiln0") && !rules.contains("dnat ip"),
            "{rules}"
        );
    }
    env.assert_quiet();
}

fn without_root(env: &TestEnv) {
    let error = env.fails(&["network", "create", "mine"]);
    assert!(error.contains("networks need root"), "{error}");
    let listed = env.ok(&["network", "ls", "--format", "{{.Name}}"]);
    assert_eq!(listed, "bridge\nhost\nnone\n");
}
