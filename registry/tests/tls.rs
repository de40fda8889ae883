//! TLS: authorities, registries called insecure, HTTP/2 for small requests and connections of their own for blobs.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use kiln_registry::routes::{HostsToml, Routes, read_certificates};
use kiln_registry::{
    Client, ClientOptions, HostOptions, PullOptions, PushOptions, Tls, pull, push,
};
use kiln_store::Platform;
use support::docker_registry::DockerRegistry;
use support::image::TestImage;
use support::{ignore, pull_into, push_from, quick_options, reference, scratch};

fn client(registry: &DockerRegistry, tls: Option<Tls>, authority: bool) -> Client {
    let host = HostOptions {
        tls,
        ..HostOptions::default()
    };
    let certificate_authorities = if authority {
        vec![registry.authority()]
    } else {
        Vec::new()
    };
    let hosts = [(registry.address.clone(), host)].into();
    Client::new(ClientOptions {
        hosts,
        certificate_authorities,
        ..quick_options()
    })
    .unwrap()
}

#[tokio::test]
async fn certificates_and_protocols() {
    let Some(registry) = DockerRegistry::start_tls() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(21, &[200_000, 300_000]);
    let store = support::stored(root.path(), &image).await;
    let name = reference(&registry.name("app:1"));
    let options = PushOptions::default();

    // A loopback registry is taken for plain HTTP, found to speak TLS, and its authority is known.
    push(
        &client(&registry, None, true),
        &store,
        &image.digest(),
        &name,
        &options,
        &ignore,
    )
    .await
    .unwrap();
    let protocols = registry.protocols();
    for line in &protocols {
        let expect = if line.contains("uploads/") && !line.starts_with("POST") {
            "HTTP/1.1"
        } else {
            "HTTP/2.0"
        };
        assert!(line.ends_with(expect), "{line} in {protocols:#?}");
    }
    assert_eq!(
        protocols
            .iter()
            .filter(|line| line.starts_with("PUT"))
            .count(),
        4
    );

    // A certificate of an unknown authority is an error at once, whether TLS was asked for or found out.
    for tls in [Some(Tls::Verify), None] {
        let error = push(
            &client(&registry, tls, false),
            &store,
            &image.digest(),
            &name,
            &options,
            &ignore,
        )
        .await
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("invalid peer certificate: UnknownIssuer"),
            "{error}"
        );
    }
    assert_eq!(registry.protocols().len(), protocols.len());

    // Unless the registry is called insecure.
    let insecure = client(&registry, Some(Tls::Insecure), false);
    let again = push(&insecure, &store, &image.digest(), &name, &options, &ignore)
        .await
        .unwrap();
    assert_eq!(again.sent, 0);
    let other = scratch();
    let target = support::store(other.path());
    let pulled = pull(
        &insecure,
        &target,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!(pulled.digest, image.digest());
}

#[tokio::test]
async fn insecure_registries_may_speak_plain_http() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(21, &[1000]);
    let store = support::stored(root.path(), &image).await;
    let name = reference(&registry.name("app:1"));
    for tls in [Tls::Insecure, Tls::Plain] {
        push(
            &client(&registry, Some(tls), false),
            &store,
            &image.digest(),
            &name,
            &PushOptions::default(),
            &ignore,
        )
        .await
        .unwrap();
    }
    let strict = client(&registry, Some(Tls::Verify), false);
    let error = push(
        &strict,
        &store,
        &image.digest(),
        &name,
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(
        error.starts_with(&format!("HEAD https://{}/", registry.address)),
        "{error}"
    );
}

/// The settings of a folder of certificates.
fn from_certs_d(registry: &DockerRegistry, with_client: bool) -> ClientOptions {
    let (certificate, key) = registry.client_certificate();
    let mut files = vec![("ca.crt".to_owned(), registry.authority())];
    if with_client {
        files.push(("client.cert".to_owned(), certificate));
        files.push(("client.key".to_owned(), key));
    }
    let mut host = HostOptions {
        tls: Some(Tls::Verify),
        ..HostOptions::default()
    };
    read_certificates(&mut host, &files, "certs.d/here").unwrap();
    ClientOptions {
        hosts: [(registry.address.clone(), host)].into(),
        ..quick_options()
    }
}

/// The same from a `hosts.toml`, as a server and as a host before it.
fn from_hosts_toml(registry: &DockerRegistry, text: &str) -> ClientOptions {
    let (certificate, key) = registry.client_certificate();
    let read = |name: &str| match name {
        "ca.pem" => Ok(registry.authority()),
        "client.pem" => Ok(certificate.clone()),
        "client.key" => Ok(key.clone()),
        "both.pem" => Ok([certificate.clone(), key.clone()].concat()),
        _ => Err(format!("no {name}")),
    };
    let text = text.replace("HERE", &format!("https://{}", registry.address));
    let hosts = HostsToml::parse(&text, "hosts.toml", &read).unwrap();
    let routes = Routes {
        default_host: Some(hosts),
        ..Routes::default()
    };
    ClientOptions {
        routes,
        ..quick_options()
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_certificate_of_its_clients() {
    let Some(registry) = DockerRegistry::start_mutual_tls() else {
        return;
    };
    let root = scratch();
    let image = TestImage::new(21, &[200_000, 1000]);
    let store = support::stored(root.path(), &image).await;
    let name = reference(&registry.name("app:1"));
    let known = [
        from_certs_d(&registry, true),
        from_hosts_toml(
            &registry,
            "server = 'HERE'\nca = 'ca.pem'\nclient = [['client.pem', 'client.key']]\n",
        ),
        from_hosts_toml(
            &registry,
            "[host.'HERE']\ncapabilities = ['pull', 'resolve', 'push']\nca = ['ca.pem']\nclient = 'both.pem'\n",
        ),
    ];
    for options in known {
        let client = Client::new(options).unwrap();
        push_from(&client, &store, &image, &name).await.unwrap();
        let other = scratch();
        let other = support::store(other.path());
        let pulled = pull_into(&client, &other, &name).await.unwrap();
        assert_eq!(pulled.digest, image.digest());
    }
    let stranger = Client::new(from_certs_d(&registry, false)).unwrap();
    let error = push_from(&stranger, &store, &image, &name)
        .await
        .unwrap_err();
    let words = "a registry that wants a certificate of its client ends connections like this";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn authorities_must_be_certificates() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = Client::new(ClientOptions {
        certificate_authorities: vec![b"nonsense".to_vec()],
        ..quick_options()
    })
    .unwrap();
    let error = runtime
        .block_on(client.digest(&reference("registry.example/x")))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "a file of certificate authorities holds no certificate"
    );
}
