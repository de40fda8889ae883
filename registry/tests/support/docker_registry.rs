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
    directory: tempfile::TempDir,
}

/// How the registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    None,
    Server,
    Mutual,
}

impl DockerRegistry {
    /// A registry that lets everybody in.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// A registry with one user, or with none.
    pub fn start_with(user: Option<(&str, &str)>) -> Option<Self> {
        Self::launch(user, Tls::None)
    }

    /// A registry that speaks TLS, with a certificate of an authority of its own (see [`DockerRegistry::authority`]).
    pub fn start_tls() -> Option<Self> {
        super::has("openssl").then(|| Self::launch(None, Tls::Server))?
    }

    /// The same, for those alone who show a certificate of that authority (see [`DockerRegistry::client_certificate`]).
    pub fn start_mutual_tls() -> Option<Self> {
        super::has("openssl").then(|| Self::launch(None, Tls::Mutual))?
    }

    fn launch(user: Option<(&str, &str)>, tls: Tls) -> Option<Self> {
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
        let tls = match tls {
            Tls::None => String::new(),
            Tls::Server => make_certificates(root),
            Tls::Mutual => {
                let server = make_certificates(root);
                let authority = root.join("ca.pem");
                format!("{server}    clientcas:\n      - {}\n", authority.display())
            }
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{tls}{auth}",
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
            directory,
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

    /// The certificate of the authority of a registry that speaks TLS.
    pub fn authority(&self) -> Vec<u8> {
        fs::read(self.directory.path().join("ca.pem")).unwrap()
    }

    /// A certificate of that authority for a client, and its key.
    pub fn client_certificate(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |name: &str| fs::read(self.directory.path().join(name)).unwrap();
        (read("client.pem"), read("client.key"))
    }

    /// The requests in the access log with their protocol: `METHOD path HTTP/2.0`.
    pub fn protocols(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let quoted = log.lines().filter_map(|line| line.split('"').nth(1));
        quoted
            .filter(|text| text.contains(" HTTP/"))
            .map(str::to_owned)
            .collect()
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

/// Makes an authority and a certificate for 127.0.0.1; gives the registry's settings for them.
fn make_certificates(root: &std::path::Path) -> String {
    let at = |name: &str| root.join(name).display().to_string();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let openssl =
        |first: &[&str], last: &[&str]| _ = super::run("openssl", &[first, last].concat());
    openssl(
        &[
            "req",
            "-x509",
            "-subj",
            "/CN=kiln test authority",
            "-days",
            "2",
            "-keyout",
            &at("ca.key"),
            "-out",
            &at("ca.pem"),
        ],
        &key,
    );
    fs::write(root.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for (name, key_file, certificate) in [
        ("/CN=127.0.0.1", "key.pem", "cert.pem"),
        ("/CN=a client", "client.key", "client.pem"),
    ] {
        let (request, key_file) = (at("request.pem"), at(key_file));
        let ask = ["req", "-subj", name, "-keyout", &key_file, "-out", &request];
        openssl(&ask, &key);
        let (authority, authority_key, names) = (at("ca.pem"), at("ca.key"), at("names"));
        let sign = [
            "x509",
            "-req",
            "-days",
            "2",
            "-CAcreateserial",
            "-in",
            &request,
        ];
        let by = ["-CA", &authority, "-CAkey", &authority_key];
        let out = at(certificate);
        openssl(
            &[&sign[..], &by].concat(),
            &["-extfile", &names, "-out", &out],
        );
    }
    format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        at("cert.pem"),
        at("key.pem")
    )
}
