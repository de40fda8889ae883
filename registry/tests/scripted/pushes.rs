//! Uploads.

use super::*;

/// A registry that takes pushes to `r`, bent by the test: `bend` may answer first.
async fn upload_server(
    bend: impl Fn(&Received, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(|_| {
        let uploads = AtomicUsize::new(0);
        move |request: &Received| {
            if let Some(reply) = bend(request, uploads.load(Ordering::SeqCst)) {
                return reply;
            }
            match (request.method.as_str(), request.path()) {
                ("POST", _) => Reply::new(202).header(
                    "Location",
                    format!(
                        "/v2/r/blobs/uploads/{}?state=a%2Fb",
                        uploads.fetch_add(1, Ordering::SeqCst)
                    ),
                ),
                ("PATCH", path) => Reply::new(202)
                    .header("Location", format!("{path}?state=next"))
                    .header("Range", format!("0-{}", request.body.len() - 1)),
                ("PUT", _) => Reply::new(201),
                ("DELETE", _) => Reply::new(204),
                _ => Reply::new(404),
            }
        }
    })
    .await
}

/// Puts an image into a store without a registry, and pushes it.
async fn push_r(image: &TestImage, address: &str) -> kiln_registry::Result<kiln_registry::Pushed> {
    let source = Scripted::start(|_| {
        let image = image.clone();
        move |request: &Received| read_reply(&image, request)
    })
    .await;
    let root = scratch();
    let store = store(root.path());
    let name = reference(&format!("{}/r:1", source.address));
    pull(
        &client(),
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    push(
        &client(),
        &store,
        &image.digest(),
        &reference(&format!("{address}/r:1")),
        &PushOptions::default(),
        &ignore,
    )
    .await
}

#[tokio::test]
async fn uploads_go_by_one_put() {
    let image = TestImage::new(4, &[200_000]);
    let server = upload_server(|_, _| None).await;
    let pushed = push_r(&image, &server.address).await.unwrap();
    assert_eq!(pushed.sent, 2);
    let layer = Digest::sha256(&image.layers[0]);
    let puts: Vec<Received> = server
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT" && request.target.contains("uploads"))
        .collect();
    let put = puts
        .iter()
        .find(|request| request.body == image.layers[0])
        .unwrap();
    assert!(
        put.target.contains("?state=a%2Fb&digest=sha256%3A"),
        "the location's own query stays: {}",
        put.target
    );
    assert!(put.target.ends_with(&layer.hex()));
    assert_eq!(put.header("content-type"), "application/octet-stream");
    assert_eq!(server.count("PATCH", ""), 0);
}

#[tokio::test]
async fn a_registry_that_ignores_mounts_gets_nothing_twice() {
    let image = TestImage::new(4, &[200_000, 300_000, 400_000]);
    // It has every blob but says 202 to mounts all the same.
    let server = upload_server(|request, _| {
        (request.method == "HEAD" && request.target.contains("/blobs/")).then(|| Reply::new(200))
    })
    .await;
    let pushed = push_r(&image, &server.address).await.unwrap();
    assert_eq!(
        (pushed.sent, pushed.skipped),
        (1, 3),
        "only the configuration was sent: {:#?}",
        server.lines()
    );
}

#[tokio::test]
async fn refused_puts_become_patches() {
    for status in [404, 405, 411, 413, 416] {
        let image = TestImage::new(4, &[200_000, 300_000]);
        let server = upload_server(move |request, _| {
            let whole = request.method == "PUT"
                && request.target.contains("uploads")
                && !request.body.is_empty();
            whole.then(|| Reply::new(status))
        })
        .await;
        let pushed = push_r(&image, &server.address)
            .await
            .unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(pushed.sent, 3);
        assert_eq!(
            server.count("PATCH", "uploads"),
            3,
            "{status}: {:#?}",
            server.lines()
        );
        let patched: Vec<usize> = server
            .requests()
            .iter()
            .filter(|request| request.method == "PATCH")
            .map(|request| request.body.len())
            .collect();
        assert!(
            image
                .blobs()
                .iter()
                .all(|(_, blob)| patched.contains(&blob.len()))
        );
        assert_eq!(
            server.count("PUT", "state=next&digest="),
            3,
            "the newest location is used"
        );
    }
}

#[tokio::test]
async fn an_upload_begins_again_after_a_server_error() {
    let image = TestImage::new(4, &[200_000]);
    let failed = AtomicUsize::new(0);
    let server = upload_server(move |request, _| {
        let upload = request.method == "PUT" && request.body.len() > 100_000;
        (upload && failed.fetch_add(1, Ordering::SeqCst) == 0).then(|| Reply::new(500))
    })
    .await;
    assert_eq!(push_r(&image, &server.address).await.unwrap().sent, 2);
    let sessions: Vec<String> = server
        .requests()
        .iter()
        .filter(|request| request.body.len() > 100_000)
        .map(|request| request.path().to_owned())
        .collect();
    assert_eq!(sessions.len(), 2);
    assert_ne!(
        sessions[0], sessions[1],
        "a session that failed is not used again"
    );
}

#[tokio::test]
async fn a_token_may_end_in_the_middle_of_a_push() {
    let image = TestImage::new(4, &[200_000]);
    let server = Scripted::start(|address| {
        let realm = format!("http://{address}/token");
        let (tokens, uploads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        move |request: &Received| {
            if request.path() == "/token" {
                return Reply::new(200).body(format!(
                    "{{\"token\":\"t{}\"}}",
                    tokens.fetch_add(1, Ordering::SeqCst)
                ));
            }
            let wanted = if request.method == "PUT" {
                "Bearer t1"
            } else {
                "Bearer t"
            };
            if !request.header("authorization").starts_with(wanted) {
                return Reply::new(401).header(
                    "WWW-Authenticate",
                    format!("Bearer realm=\"{realm}\",scope=\"repository:r:pull,push\""),
                );
            }
            match request.method.as_str() {
                "POST" => Reply::new(202).header(
                    "Location",
                    format!("uploads/{}", uploads.fetch_add(1, Ordering::SeqCst)),
                ),
                "PUT" => Reply::new(201),
                "DELETE" => Reply::new(204),
                _ => Reply::new(404),
            }
        }
    })
    .await;
    assert_eq!(push_r(&image, &server.address).await.unwrap().sent, 2);
    assert_eq!(server.count("GET", "/token"), 2);
}

#[tokio::test]
async fn corrupt_storage_is_noticed_on_push() {
    let image = TestImage::new(4, &[1000]);
    let other = Digest::sha256(b"something else").to_string();
    let server = upload_server(move |request, _| {
        (request.method == "PUT" && request.target.contains("uploads"))
            .then(|| Reply::new(201).header("Docker-Content-Digest", other.clone()))
    })
    .await;
    let error = push_r(&image, &server.address).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn uploads_do_not_leave_for_strange_hosts() {
    let image = TestImage::new(4, &[1000]);
    let server = upload_server(|request, _| {
        (request.method == "POST")
            .then(|| Reply::new(202).header("Location", "ftp://elsewhere.example/upload"))
    })
    .await;
    let error = push_r(&image, &server.address).await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
}

#[tokio::test]
async fn a_mount_that_may_not_read_its_origin_becomes_an_upload() {
    let image = TestImage::new(4, &[200_000]);
    let server = Scripted::start(|address| {
        let realm = format!("http://{address}/token");
        let uploads = AtomicUsize::new(0);
        move |request: &Received| {
            if request.path() == "/token" {
                // The right to read the other repository is denied.
                let denied = request.target.contains("repository%3Aother");
                return if denied {
                    Reply::new(403).body(r#"{"details":"denied"}"#)
                } else {
                    Reply::new(200).body(r#"{"token":"good"}"#)
                };
            }
            if request.header("authorization") != "Bearer good" {
                return Reply::new(401)
                    .header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""));
            }
            match request.method.as_str() {
                "POST" => Reply::new(202).header(
                    "Location",
                    format!("uploads/{}", uploads.fetch_add(1, Ordering::SeqCst)),
                ),
                "PUT" => Reply::new(201),
                "DELETE" => Reply::new(204),
                _ => Reply::new(404),
            }
        }
    })
    .await;
    let root = scratch();
    image.write_layout(&root.path().join("layout"), "x");
    let layout = kiln_registry::Layout::open(&root.path().join("layout")).unwrap();
    let store = store(&root.path().join("store"));
    let name = kiln_registry::ManifestName::Tag("x".to_owned());
    kiln_registry::pull_from(&layout, &name, &store, &Platform::host(), &[], &ignore)
        .await
        .unwrap();
    let other = reference(&format!("{}/other", server.address));
    let origins = image
        .blobs()
        .into_iter()
        .map(|(digest, _)| (digest, vec![other.clone()]))
        .collect();
    let options = PushOptions {
        origins,
        ..PushOptions::default()
    };
    let target = reference(&format!("{}/r:1", server.address));
    let pushed = push(
        &client(),
        &store,
        &image.digest(),
        &target,
        &options,
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (2, 0));
    assert_eq!(server.count("PUT", "uploads"), 2);
}
