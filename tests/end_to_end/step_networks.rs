//! What network a `RUN` step of root's has: the default bridge, none, or the host's where that is allowed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;

use crate::networks::{CLIENT, HOST, Hosts, on};
use crate::support::{TestEnv, as_root};

#[test]
fn steps_are_on_the_bridge_and_masqueraded() {
    as_root(|env| {
        let Some(hosts) = Hosts::new("bridged") else {
            return;
        };
        let server = on(&hosts.client(), || {
            TcpListener::bind((CLIENT[0], 8080)).unwrap()
        });
        let answering = std::thread::spawn(move || {
            let (mut asking, peer) = server.accept().unwrap();
            let mut request = [0; 4096];
            let length = asking.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /who "));
            let who = peer.ip().to_string();
            write!(
                asking,
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{who}",
                who.len()
            )
            .unwrap();
        });
        let ask = format!("wget -q -O - http://{}:8080/who", CLIENT[0]);
        env.write(
            "Dockerfile",
            &format!("FROM base\nRUN {ask} > /who; ip -o -4 addr show dev eth0 > /address\n"),
        );
        let built = hosts.run(env, &["build", "--tag", "bridged", env.context()]);
        assert!(built.status.success(), "{}", built.stderr);
        assert!(!built.stderr.contains("notice:"), "{}", built.stderr);
        answering.join().unwrap();
        let seen = env.output_of("bridged", "cat /who");
        assert_eq!(seen, HOST[0], "the other host sees this one, not the step");
        let address = env.output_of("bridged", "cat /address");
        assert!(address.contains("inet "), "{address}");
        assert!(!address.contains(HOST[0]), "{address}");
    });
}

#[test]
fn steps_have_the_network_that_they_ask_for() {
    as_root(|env| {
        let script = "readlink /proc/self/ns/net > /namespace; ls /sys/class/net > /devices";
        let step = |network: &str| format!("FROM base\nRUN --network={network} {script}\n");
        let seen = |image: &str| env.output_of(image, "cat /namespace /devices");
        env.image("none", &step("none"));
        assert!(seen("none").ends_with("]\nlo\n"), "{}", seen("none"));

        let refused = env.build(&step("host"), &["--tag", "host"]);
        assert!(!refused.status.success());
        assert!(
            refused.stderr.contains("network.host is not allowed"),
            "{}",
            refused.stderr
        );
        let built = env.build(&step("host"), &["--tag", "host", "--allow", "network.host"]);
        assert!(built.status.success(), "{}", built.stderr);
        let own = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert!(seen("host").starts_with(&format!("net:[{own}]\n")));
        env.image("default", &step("default"));
        assert!(!seen("default").starts_with(&format!("net:[{own}]\n")));
    });
}

#[test]
fn the_machine_says_that_it_has_bridges() {
    as_root(|env: &TestEnv| {
        let shown = env.run(&["doctor"]).stdout;
        let line = shown
            .lines()
            .find(|line| line.contains(" networks: "))
            .unwrap();
        match kiln_runtime::network::ability() {
            Ok(()) => assert_eq!(
                line,
                "ok      networks: bridges with addresses, names and published ports"
            ),
            Err(missing) => assert!(line.contains(&missing), "{line}"),
        }
    });
}
