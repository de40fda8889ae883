//! Mirrors: asked first, passed over when they fail, and never believed against a digest.

use super::*;

use kiln_registry::routes::{HostsToml, Routes};

/// A client of `origin` that is told to ask `mirror` before it.
fn client_of(origin: &FaultRegistry, mirror: &str, more: &str) -> Client {
    let text = format!(
        "[[registry]]\nprefix = \"registry.test\"\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{mirror}\"\n{more}",
        origin.address
    );
    let mut routes = Routes::default();
    routes.registries.add(&text, "registries.conf").unwrap();
    client_by(routes)
}

fn client_by(routes: Routes) -> Client {
    Client::new(ClientOptions {
        routes,
        ..support::quick_options()
    })
    .unwrap()
}

async fn pull_as(client: &Client, name: &str, image: &TestImage) -> Result<kiln_registry::Pulled> {
    let root = scratch();
    let store = store(root.path());
    let pulled = pull_into(client, &store, &reference(name)).await;
    assert_sound(&store, image, pulled.is_ok());
    if pulled.is_ok() {
        let kept = store.resolve(&reference(name)).unwrap();
        assert_eq!(
            kept,
            Some(image.digest()),
            "the name is the one that was asked for"
        );
    }
    pulled
}

/// A mirror that has the image as `cache/r:1`.
fn mirror_of(image: &TestImage) -> FaultRegistry {
    let mirror = FaultRegistry::start(&profile::DISTRIBUTION_3);
    mirror.seed(
        "cache/r",
        &image.blobs(),
        &[("1", MANIFEST_TYPE, &image.manifest)],
    );
    mirror
}

#[tokio::test]
async fn a_mirror_that_has_all_is_enough() {
    let image = image();
    let (mirror, origin) = (mirror_of(&image), seeded(&profile::DISTRIBUTION_3, &image));
    let client = client_of(&origin, &mirror.name("cache"), "");
    pull_as(&client, "registry.test/r:1", &image).await.unwrap();
    assert_eq!(origin.requests(), Vec::<String>::new());
    assert_eq!(mirror.count("GET", "/v2/cache/r/"), 5);
}

#[tokio::test]
async fn what_a_mirror_cannot_do_the_registry_does() {
    let image = image();
    let faults = [
        Fault::new(On::Any, What::Hangup).always(),
        Fault::new(On::ManifestRead, What::Answer(404, Vec::new(), "")).always(),
        Fault::new(
            On::ManifestRead,
            What::Answer(429, vec![("Retry-After", "3600".to_owned())], ""),
        )
        .always(),
        Fault::new(On::ManifestRead, What::Html).always(),
        Fault::new(On::BlobRead { above: 0 }, What::Answer(500, Vec::new(), "")).always(),
        Fault::new(On::BlobRead { above: 100_000 }, What::CutReply(1000)).always(),
        Fault::new(On::BlobRead { above: 100_000 }, What::Corrupt).always(),
        Fault::new(On::BlobRead { above: 100_000 }, What::Html).always(),
    ];
    for fault in faults {
        let what = format!("{fault:?}");
        let (mirror, origin) = (mirror_of(&image), seeded(&profile::DISTRIBUTION_3, &image));
        mirror.fail(fault);
        let client = client_of(&origin, &mirror.name("cache"), "");
        let pulled = pull_as(&client, "registry.test/r:1", &image).await;
        pulled.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[tokio::test]
async fn a_mirror_that_is_away_is_asked_once() {
    let image = image();
    let origin = seeded(&profile::DISTRIBUTION_3, &image);
    let away = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = client_of(&origin, &format!("{away}/cache"), "");
    let pulled = pull_as(&client, "registry.test/r:1", &image).await.unwrap();
    assert_eq!(pulled.traffic.requests, 1 + 5);
}

#[tokio::test]
async fn tags_may_be_asked_of_the_registry_only() {
    let image = image();
    let (mirror, origin) = (mirror_of(&image), seeded(&profile::DISTRIBUTION_3, &image));
    let client = client_of(
        &origin,
        &mirror.name("cache"),
        "pull-from-mirror = \"digest-only\"\n",
    );
    pull_as(&client, "registry.test/r:1", &image).await.unwrap();
    assert_eq!(origin.requests(), ["GET /v2/r/manifests/1"]);
    assert_eq!(mirror.count("GET", "/blobs/"), 4);
}

#[tokio::test]
async fn hosts_of_containerd_are_told_what_is_meant() {
    let image = image();
    let (mirror, origin) = (mirror_of(&image), seeded(&profile::DISTRIBUTION_3, &image));
    mirror.seed(
        "r",
        &image.blobs(),
        &[("1", MANIFEST_TYPE, &image.manifest)],
    );
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        origin.address, mirror.address
    );
    let mut routes = Routes::default();
    let hosts = HostsToml::parse(&text, "hosts.toml", &|_| Err("no files".to_owned())).unwrap();
    routes.hosts.insert("registry.test".to_owned(), hosts);
    let client = client_by(routes);
    pull_as(&client, "registry.test/r:1", &image).await.unwrap();
    assert_eq!(origin.requests(), Vec::<String>::new());
    assert!(
        mirror
            .requests()
            .iter()
            .all(|line| line.ends_with("?ns=registry.test")),
        "{:#?}",
        mirror.requests()
    );
    mirror.fail(Fault::new(On::Any, What::Hangup).always());
    pull_as(&client, "registry.test/r:1", &image).await.unwrap();
}

#[tokio::test]
async fn a_blocked_registry_is_not_asked() {
    let image = image();
    let origin = seeded(&profile::DISTRIBUTION_3, &image);
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\nblocked = true\n",
        origin.address
    );
    let mut routes = Routes::default();
    routes.registries.add(&text, "registries.conf").unwrap();
    let client = client_by(routes);
    let error = pull_as(&client, &origin.name("r:1"), &image)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/r is blocked by the rule for `"),
        "{error}"
    );
    assert_eq!(origin.requests(), Vec::<String>::new());
}
