//! Debian's `docker-registry` on a free port of loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry that ends with its value.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:<port>`.
    pub address: String,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// A registry that lets everybody in.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// A registry with one user, or with none.
    pub fn start_with(user: Option<(&str, &str)>) -> Option<Self> {
        if !super::has("docker-registry") || (user.is_some() && !super::has("htpasswd")) {
            return None;
        }
        let directory = super::scratch();
        let root = directory.path();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let auth = user.map_or_else(String::new, |(name, password)| {
            let file = root.join("htpasswd");
            fs::write(&file, super::run("htpasswd", &["-Bbn", name, password])).unwrap();
            format!(
                "auth:\n  htpasswd:\n    realm: kiln\n    path: {}\n",
                file.display()
            )
        });
        let config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{auth}",
            root.join("data").display()
        );
        let file = root.join("config.yml");
        fs::write(&file, config).unwrap();
        let log = root.join("log");
        let output = fs::File::create(&log).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let registry = Self {
            child,
            address,
            log,
            _directory: directory,
        };
        registry.wait();
        Some(registry)
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&self.address).is_err() {
            assert!(
                Instant::now() < deadline,
                "docker-registry does not start: {}",
                fs::read_to_string(&self.log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A name in this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// The requests in the access log: `METHOD path`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let quoted = log.lines().filter_map(|line| {
            line.split('"')
                .nth(1)
                .filter(|text| text.ends_with("HTTP/1.1"))
        });
        quoted
            .map(|text| text.trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
