//! What a trace says, the bound on the rate, and fewer requests after a limit.

use super::*;

use std::sync::Mutex;

use kiln_registry::Event;

fn traced(registry: &FaultRegistry) -> (ClientOptions, Arc<Mutex<Vec<String>>>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = lines.clone();
    let options = ClientOptions {
        trace: Some(Arc::new(move |line: &str| {
            sink.lock().unwrap().push(line.to_owned())
        })),
        ..support::options_as(&registry.address, "user", "pass")
    };
    (options, lines)
}

#[tokio::test]
async fn a_trace_explains_and_keeps_secrets() {
    let image = image();
    for kind in &PROFILES {
        let registry = seeded(kind, &image);
        registry.fail(Fault::new(On::ManifestRead, What::Hangup));
        let (options, lines) = traced(&registry);
        let root = scratch();
        let name = reference(&registry.name("r:1"));
        pull_into(&Client::new(options).unwrap(), &store(root.path()), &name)
            .await
            .unwrap();
        let text = lines.lock().unwrap().join("\n");
        for secret in ["dXNlcjpwYXNz", "token-", "Signature=secret", "pass"] {
            assert!(!text.contains(secret), "{}: {secret} in\n{text}", kind.name);
        }
        assert!(text.contains("/v2/r/manifests/1"), "{text}");
        assert!(text.contains(" 200 OK HTTP/1.1 after "), "{text}");
        assert!(text.contains("trying again in "), "{text}");
        let known = kind.login == profile::Login::Open
            || text.contains("the credentials are those from the command line");
        assert!(known, "{text}");
    }
}

#[tokio::test]
async fn the_rate_is_bounded_in_both_directions() {
    let image = TestImage::new(9, &[300_000]);
    let root = scratch();
    let local = stored(root.path(), &image).await;
    let registry = FaultRegistry::start(&profile::DISTRIBUTION_3);
    let name = reference(&registry.name("r:1"));
    let client = |rate| {
        let options = support::options_as(&registry.address, "user", "pass");
        Client::new(ClientOptions {
            limit_rate: Some(rate),
            ..options
        })
        .unwrap()
    };
    // Never faster than that, however slow the machine is.
    let start = std::time::Instant::now();
    push_from(&client(1_000_000), &local, &image, &name)
        .await
        .unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(280),
        "{:?}",
        start.elapsed()
    );
    assert_there(&registry, "r", &image);
    let start = std::time::Instant::now();
    let other = scratch();
    let store = store(other.path());
    pull_into(&client(1_000_000), &store, &name).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(280),
        "{:?}",
        start.elapsed()
    );
    assert_sound(&store, &image, true);
}

#[tokio::test]
async fn a_wait_is_counted_down() {
    let image = image();
    let registry = seeded(&profile::DISTRIBUTION_3, &image);
    let limit = vec![("Retry-After", "2".to_owned())];
    registry.fail(Fault::new(On::ManifestRead, What::Answer(429, limit, "")));
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = told.clone();
    let options = ClientOptions {
        notice: Some(Arc::new(move |event| sink.lock().unwrap().push(event))),
        ..support::options_as(&registry.address, "user", "pass")
    };
    let root = scratch();
    let name = reference(&registry.name("r:1"));
    let pulled = pull_into(&Client::new(options).unwrap(), &store(root.path()), &name)
        .await
        .unwrap();
    assert!(pulled.traffic.waited >= Duration::from_secs(2));
    let told = told.lock().unwrap();
    assert!(
        matches!(&told[..], [Event::Waiting { .. }, Event::StillWaiting { left, .. }, ..] if *left <= Duration::from_secs(1)),
        "{told:?}"
    );
}

#[tokio::test]
async fn many_blobs_in_pieces_do_not_wait_for_each_other() {
    // More blobs than there are places on either side, each read from one registry while it is sent to the other.
    let image = TestImage::new(30, &[600_000; 20]);
    let (source, target) = (
        seeded(&profile::DISTRIBUTION_3, &image),
        FaultRegistry::start(&profile::DISTRIBUTION_3),
    );
    let limit = What::Answer(429, vec![("Retry-After", "0.01".to_owned())], "");
    source.fail(Fault::new(On::BlobRead { above: 100_000 }, limit.clone()).times(3));
    target.fail(Fault::new(On::UploadBody { above: 100_000 }, limit).times(3));
    let pieces = Client::new(ClientOptions {
        upload: Some("chunked:200000".parse().unwrap()),
        ..support::options_as(&target.address, "user", "pass")
    })
    .unwrap();
    copy_r((&client(&source), &source), (&pieces, &target))
        .await
        .unwrap();
    assert_there(&target, "copied", &image);
}
