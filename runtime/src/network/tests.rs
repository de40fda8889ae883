//! Bridges, addresses and rules in a network namespace of the test's own.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use super::attach::{Attached, Who, Wish, attach, release};
use super::bridge::{Kernel, restore_rules};
use super::error::Error;
use super::namespace::in_thread;
use super::networks::{DEFAULT, Networks};
use super::options::NetworkOptions;
use crate::container::{BoundPort, ContainerPort, Protocol};
use crate::sys::process::{join_namespaces, unshare};

/// Runs a test as a host of its own with an empty store; says so where that can't be had.
fn on_a_host(test: fn(&Path)) {
    let result = in_thread(move || {
        if unshare(libc::CLONE_NEWNET).is_err() {
            return Err(Error::Unavailable("root".to_owned()));
        }
        let mut kernel = Kernel::open()?;
        kernel.route.set_up(1).unwrap();
        match kernel.route.add_bridge("probe", "") {
            Ok(()) => {}
            Err(errno) => return Err(Error::Unavailable(format!("bridges ({errno})"))),
        }
        kernel.table.chains().unwrap();
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join("tmp")).unwrap();
        test(store.path());
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(Error::Unavailable(what)) => println!("skipped: needs {what}"),
        Err(error) => panic!("{error}"),
    }
}

fn attached(root: &Path, name: &str, network: &str) -> Attached {
    try_attached(
        root,
        name,
        Wish {
            network: network.to_owned(),
            ..Wish::default()
        },
    )
    .unwrap()
}

fn try_attached(root: &Path, name: &str, wish: Wish) -> Result<Attached, Error> {
    let id = format!("{name:0<12}");
    attach(root, Who { id: &id, name }, &[wish], false, &[])
}

fn address(attached: &Attached, v4: bool) -> IpAddr {
    let mut all = attached.leases[0].endpoint.addresses();
    all.find(|address| address.is_ipv4() == v4).unwrap()
}

/// Runs `work` in a thread inside of a container's network.
fn inside<T: Send + 'static>(attached: &Attached, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = attached.namespace.descriptor.try_clone().unwrap();
    in_thread(move || {
        join_namespaces(namespace.as_fd(), libc::CLONE_NEWNET).unwrap();
        Ok(work())
    })
    .unwrap()
}

/// A listener inside of a container's network; sockets stay where they were made.
fn listener(attached: &Attached, port: u16) -> TcpListener {
    inside(attached, move || TcpListener::bind(("::", port)).unwrap())
}

/// Connects, and sends a greeting from the listener back; the peer that the listener saw.
fn converse(
    listener: &TcpListener,
    connect: impl FnOnce() -> std::io::Result<TcpStream>,
) -> IpAddr {
    let mut client = connect().unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    server.write_all(b"hello").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    peer.ip().to_canonical()
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    /// Longer than a loaded machine needs; only what is dropped waits for it.
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(700);
    TcpStream::connect_timeout(&to, PATIENCE)
}

fn nft() -> String {
    let output = Command::new("nft")
        .args(["list", "table", "inet", "kiln"])
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn containers_of_one_network_reach_each_other_and_those_of_another_do_not() {
    on_a_host(|root| {
        let networks = Networks::of(root);
        networks
            .create("other", &NetworkOptions::default())
            .unwrap();
        let one = attached(root, "one", DEFAULT);
        let two = attached(root, "two", DEFAULT);
        let stranger = attached(root, "stranger", "other");
        for v4 in [true, false] {
            let to = SocketAddr::new(address(&two, v4), 80 + u16::from(v4));
            let listener = listener(&two, to.port());
            let peer = converse(&listener, || inside(&one, move || connect(to)));
            assert_eq!(peer, address(&one, v4));
            let refused = inside(&stranger, move || connect(to));
            assert!(refused.is_err(), "another network reaches {to}");
            // The host itself reaches every container.
            converse(&listener, || connect(to));
        }
    });
}

#[test]
fn a_port_leads_to_its_container_until_that_is_gone_and_also_after_a_flush() {
    on_a_host(|root| {
        let mut one = attached(root, "one", DEFAULT);
        let host = SocketAddr::new(
            Networks::of(root).find(DEFAULT).unwrap().subnets[0].gateway,
            8080,
        );
        let container = ContainerPort {
            number: 80,
            protocol: Protocol::Tcp,
        };
        let port = BoundPort {
            host: SocketAddr::new([0, 0, 0, 0].into(), 8080),
            container,
        };
        let mut kernel = Kernel::open().unwrap();
        one.leases[0]
            .publish(root, vec![port], &mut kernel)
            .unwrap();
        let server = listener(&one, 80);
        converse(&server, || connect(host));
        // From its own network, by the host's address: the answer has to come back the same way.
        let two = attached(root, "two", DEFAULT);
        converse(&server, || inside(&two, move || connect(host)));
        converse(&server, || inside(&one, move || connect(host)));

        let listed = nft();
        if listed.is_empty() {
            println!("skipped: needs nft");
        } else {
            let expected = format!(
                "meta nfproto ipv4 fib daddr type local tcp dport 8080 dnat ip to {}:80",
                address(&one, true)
            );
            assert!(listed.contains(&expected), "{listed}");
            assert!(
                Command::new("nft")
                    .args(["flush", "ruleset"])
                    .status()
                    .unwrap()
                    .success()
            );
            assert!(connect(host).is_err());
            restore_rules(root, DEFAULT, &mut kernel).unwrap();
            converse(&server, || connect(host));
            assert_eq!(nft(), listed);
        }
        release(root, std::mem::take(&mut one.leases), Some(&mut kernel));
        assert!(connect(host).is_err());
        assert!(!nft().contains("8080"));
    });
}

#[test]
fn the_rules_in_the_kernel_read_as_they_were_meant() {
    on_a_host(|root| {
        let mut one = attached(root, "one", DEFAULT);
        let container = ContainerPort {
            number: 53,
            protocol: Protocol::Udp,
        };
        let hosts = [
            "0.0.0.0:5300",
            "[::]:5300",
            "192.0.2.9:5301",
            "127.0.0.1:5302",
        ];
        let ports = hosts.map(|host| BoundPort {
            host: host.parse().unwrap(),
            container,
        });
        let mut kernel = Kernel::open().unwrap();
        one.leases[0]
            .publish(root, ports.to_vec(), &mut kernel)
            .unwrap();
        let listed = nft();
        if listed.is_empty() {
            return println!("skipped: needs nft");
        }
        let network = Networks::of(root).lock(DEFAULT).unwrap();
        for rule in network
            .chains()
            .unwrap()
            .iter()
            .flat_map(|chain| &chain.rules)
        {
            assert!(listed.contains(&rule.to_string()), "{rule}\n{listed}");
        }
        let rules = listed
            .lines()
            .filter(|line| line.starts_with("\t\t") && !line.contains("type "));
        let rules = rules.count() + listed.matches("fib daddr type").count();
        let meant = network
            .chains()
            .unwrap()
            .iter()
            .map(|chain| chain.rules.len())
            .sum::<usize>();
        assert_eq!(rules, meant, "{listed}");
        drop(network);
        drop(one);
        Networks::of(root).take_down(DEFAULT).unwrap();
        assert!(!nft().contains("kiln0"), "{}", nft());
    });
}

#[test]
fn what_a_killed_process_held_is_free_again_and_nothing_stays() {
    on_a_host(|root| {
        let options = NetworkOptions {
            subnets: vec!["10.77.0.0/29".to_owned()],
            ipv6: Some(false),
            ..NetworkOptions::default()
        };
        Networks::of(root).create("small", &options).unwrap();
        let all: Vec<_> = (0..5)
            .map(|number| attached(root, &format!("c{number}"), "small"))
            .collect();
        let wish = || Wish {
            network: "small".to_owned(),
            ..Wish::default()
        };
        let full = try_attached(root, "c5", wish()).unwrap_err().to_string();
        assert!(full.contains("no address is free"), "{full}");
        let removal = Networks::of(root).remove("small").unwrap_err().to_string();
        assert!(removal.contains("has active endpoints"), "{removal}");
        // As after a kill: nobody gave anything back.
        drop(all);
        let asked = Wish {
            ipv4: Some([10, 77, 0, 6].into()),
            ..wish()
        };
        let again = try_attached(root, "c6", asked.clone()).unwrap();
        assert_eq!(address(&again, true).to_string(), "10.77.0.6");
        let taken = try_attached(root, "c7", asked).unwrap_err().to_string();
        assert_eq!(taken, "Address already in use: 10.77.0.6");
        drop(again);
        let mut kernel = Kernel::open().unwrap();
        let ports = |kernel: &mut Kernel| {
            let devices = kernel.route.devices().unwrap();
            devices
                .iter()
                .filter(|device| device.name.starts_with("kveth"))
                .count()
        };
        // The kernel takes devices away in its own time.
        while ports(&mut kernel) > 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Networks::of(root).remove("small").unwrap();
        let devices = kernel.route.devices().unwrap();
        assert!(!devices.iter().any(|device| device.name.starts_with("kiln")));
    });
}

#[test]
fn a_chosen_subnet_gives_way_to_the_hosts_routes_and_a_wanted_one_is_refused() {
    on_a_host(|root| {
        let mut kernel = Kernel::open().unwrap();
        drop(attached(root, "one", DEFAULT));
        let before = Networks::of(root).find(DEFAULT).unwrap();
        Networks::of(root).take_down(DEFAULT).unwrap();
        Networks::of(root).default_network().unwrap();
        let probe = kernel.route.device("probe").unwrap().unwrap();
        let [first, ..] = before.subnets[..] else {
            panic!("no subnet")
        };
        kernel
            .route
            .add_address(probe.index, first.gateway, 13)
            .unwrap();
        drop(attached(root, "one", DEFAULT));
        let after = Networks::of(root).find(DEFAULT).unwrap();
        assert!(!super::subnet::overlap(
            after.subnets[0].subnet,
            first.subnet.supernet().unwrap()
        ));
        let options = NetworkOptions {
            subnets: vec![first.subnet.to_string()],
            ..NetworkOptions::default()
        };
        Networks::of(root).create("wanted", &options).unwrap();
        let error = try_attached(
            root,
            "two",
            Wish {
                network: "wanted".to_owned(),
                ..Wish::default()
            },
        );
        assert!(error.unwrap_err().to_string().contains("overlaps with"));
    });
}
