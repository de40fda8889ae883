//! The client against servers that misbehave as real ones do.

// The lint's own exception for tests does not reach helpers of integration tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kiln_registry::{
    AuthFile, Client, ClientOptions, Credentials, Error, Event, PullOptions, PushOptions, Timeouts,
    pull, push,
};
use kiln_store::{Digest, Platform};
use support::image::TestImage;
use support::scripted::{Received, Reply, Scripted};
use support::{client, client_as, ignore, quick_options, reference, scratch, store};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest_reply(image: &TestImage) -> Reply {
    Reply::new(200)
        .header("Content-Type", MANIFEST_TYPE)
        .header("Docker-Content-Digest", image.digest().to_string())
        .body(image.manifest.clone())
}

/// What a well-behaved registry answers to reads of one image in the repository `r`.
fn read_reply(image: &TestImage, request: &Received) -> Reply {
    if request.path().starts_with("/v2/r/manifests/") {
        return manifest_reply(image);
    }
    for (digest, bytes) in image.blobs() {
        if request.path() == format!("/v2/r/blobs/{digest}") {
            return Reply::new(200).body(bytes);
        }
    }
    Reply::new(404)
}

/// Takes `range` into account.
fn ranged(request: &Received, bytes: &[u8]) -> Reply {
    match request
        .header("range")
        .strip_prefix("bytes=")
        .and_then(|text| text.strip_suffix('-'))
        .map(|text| text.parse::<usize>().unwrap())
    {
        Some(start) => Reply::new(206)
            .header(
                "Content-Range",
                format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(&bytes[start..]),
        None => Reply::new(200).body(bytes),
    }
}

async fn pull_r(client: &Client, address: &str) -> kiln_registry::Result<kiln_registry::Pulled> {
    let root = scratch();
    let store = store(root.path());
    let name = reference(&format!("{address}/r:1"));
    let pulled = pull(
        client,
        &store,
        &name,
        &Platform::host(),
        &PullOptions::default(),
        &ignore,
    )
    .await;
    assert_eq!(
        pulled.is_ok(),
        store.resolve(&name).unwrap().is_some(),
        "a name appears only with a whole image"
    );
    pulled
}

#[tokio::test]
async fn tokens_are_fetched_once_and_scoped() {
    let image = TestImage::new(1, &[1000, 2000, 3000, 4000]);
    let expect = image.clone();
    let server = Scripted::start(|address| {
        let realm = format!("http://{address}/token");
        move |request: &Received| {
            if request.path() == "/token" {
                assert_eq!(request.header("authorization"), "Basic YWxpY2U6c2VjcmV0");
                return Reply::new(200).body(r#"{"access_token":"good","expires_in":300}"#);
            }
            if request.header("authorization") != "Bearer good" {
                let challenge = format!(
                    "Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:r:pull\""
                );
                return Reply::new(401).header("WWW-Authenticate", challenge);
            }
            read_reply(&image, request)
        }
    })
    .await;
    let client = client_as(&server.address, "alice", "secret");
    let pulled = pull_r(&client, &server.address).await.unwrap();
    assert_eq!(pulled.digest, expect.digest());
    assert_eq!(
        server.count("GET", "/token?service=test&scope=repository%3Ar%3Apull"),
        1,
        "{:#?}",
        server.lines()
    );
    assert_eq!(
        server.requests().len(),
        2 + 1 + 1 + 4,
        "one refusal, one token"
    );
}

#[tokio::test]
async fn a_token_that_ends_early_is_renewed() {
    let image = TestImage::new(1, &[1000, 2000]);
    let server = Scripted::start(|address| {
        let realm = format!("http://{address}/token");
        let tokens = AtomicUsize::new(0);
        move |request: &Received| {
            if request.path() == "/token" {
                return Reply::new(200).body(format!(
                    "{{\"token\":\"t{}\"}}",
                    tokens.fetch_add(1, Ordering::SeqCst)
                ));
            }
            // The first token is good for the manifest only.
            let wanted = if request.path().contains("/blobs/") {
                "Bearer t1"
            } else {
                "Bearer t0"
            };
            if request.header("authorization") != wanted {
                return Reply::new(401).header(
                    "WWW-Authenticate",
                    format!("Bearer realm=\"{realm}\",service=\"test\""),
                );
            }
            read_reply(&image, request)
        }
    })
    .await;
    pull_r(&client(), &server.address).await.unwrap();
    assert_eq!(
        server.count("GET", "/token"),
        2,
        "one for all blobs: {:#?}",
        server.lines()
    );
}

#[tokio::test]
async fn identity_tokens_go_by_post_and_fall_back_to_get() {
    for refusal in [None, Some(404), Some(401), Some(400), Some(405)] {
        let image = TestImage::new(1, &[100]);
        let server = Scripted::start(|address| {
            let realm = format!("http://{address}/token");
            move |request: &Received| {
                match (request.path(), request.method.as_str(), refusal) {
                    ("/token", "POST", None) => {
                        let body = String::from_utf8(request.body.clone()).unwrap();
                        assert!(
                            body.contains("grant_type=refresh_token")
                                && body.contains("refresh_token=idtoken"),
                            "{body}"
                        );
                        return Reply::new(200).body(r#"{"access_token":"good"}"#);
                    }
                    ("/token", "POST", Some(status)) => return Reply::new(status),
                    ("/token", "GET", Some(_)) => {
                        assert_eq!(request.header("authorization"), "Basic dXNlcjppZHRva2Vu");
                        return Reply::new(200).body(r#"{"token":"good"}"#);
                    }
                    _ => {}
                }
                if request.header("authorization") != "Bearer good" {
                    return Reply::new(401)
                        .header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""));
                }
                read_reply(&image, request)
            }
        })
        .await;
        let file = format!(
            r#"{{"auths":{{"{}":{{"auth":"dXNlcjo=","identitytoken":"idtoken"}}}}}}"#,
            server.address
        );
        let credentials =
            Credentials::new(vec![AuthFile::parse(&file, "config.json").unwrap()], None);
        let client = Client::new(ClientOptions {
            credentials,
            ..quick_options()
        })
        .unwrap();
        pull_r(&client, &server.address).await.unwrap();
        assert!(
            server
                .requests()
                .iter()
                .all(|request| !request.target.contains("idtoken"))
        );
    }
}

#[tokio::test]
async fn refused_credentials_are_told_and_not_retried() {
    let server = Scripted::start(|address| {
        let realm = format!("http://{address}/token");
        move |request: &Received| match request.path() {
            "/token" => Reply::new(401).body(r#"{"details":"incorrect username or password"}"#),
            _ => Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
        }
    })
    .await;
    let error = pull_r(&client_as(&server.address, "u", "p"), &server.address)
        .await
        .unwrap_err();
    let host = &server.address;
    assert_eq!(
        error.to_string(),
        format!(
            "{host} refuses access to r (pull): the token service http://{host}/token says: incorrect username or password"
        )
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn limits_are_waited_out_in_all_their_forms() {
    for form in [
        "0",
        "0.01",
        "880.092\u{b5}s",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "",
    ] {
        for status in [429, 503] {
            let image = TestImage::new(1, &[100]);
            let tries = AtomicUsize::new(0);
            let server = Scripted::start(|_| {
                move |request: &Received| {
                    if tries.fetch_add(1, Ordering::SeqCst) < 2 {
                        let reply = Reply::new(status);
                        return if form.is_empty() {
                            reply
                        } else {
                            reply.header("Retry-After", form)
                        };
                    }
                    read_reply(&image, request)
                }
            })
            .await;
            let pulled = pull_r(&client(), &server.address)
                .await
                .unwrap_or_else(|error| panic!("{status} {form}: {error}"));
            assert_eq!(pulled.traffic.requests, 2 + 3, "{status} {form}");
        }
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_refused_and_waits_are_announced() {
    let server = Scripted::start(|_| {
        let tries = AtomicUsize::new(0);
        move |_: &Received| {
            let wait = if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                "0.02"
            } else {
                "3600"
            };
            Reply::new(429)
                .header("Retry-After", wait)
                .body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#)
        }
    })
    .await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = told.clone();
    let notice: kiln_registry::Notice = Arc::new(move |event| sink.lock().unwrap().push(event));
    let client = Client::new(ClientOptions {
        notice: Some(notice),
        ..quick_options()
    })
    .unwrap();
    let error = pull_r(&client, &server.address).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} limits requests and asks to wait 3600 seconds, more than the 300 allowed",
            server.address
        )
    );
    let told = told.lock().unwrap();
    assert!(
        matches!(&told[..], [Event::Waiting { host, wait }] if *host == server.address && *wait >= Duration::from_millis(20)),
        "{told:?}"
    );
}

#[tokio::test]
async fn server_errors_are_retried_a_few_times() {
    let server = Scripted::start(|_| |_: &Received| Reply::new(500).body("out of order")).await;
    let error = pull_r(&client(), &server.address).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "GET http://{}/v2/r/manifests/1: 500 Internal Server Error: out of order",
            server.address
        )
    );
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_where_it_broke() {
    let image = TestImage::new(9, &[400_000]);
    let layer = image.layers[0].clone();
    let digest = Digest::sha256(&layer);
    for honours_range in [true, false] {
        let (image, layer) = (image.clone(), layer.clone());
        let server = Scripted::start(|_| {
            let tries = AtomicUsize::new(0);
            move |request: &Received| {
                if !request.target.ends_with(&digest.to_string()) {
                    return read_reply(&image, request);
                }
                let reply = if honours_range {
                    ranged(request, &layer)
                } else {
                    Reply::new(200).body(layer.clone())
                };
                match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => reply.cut(150_000),
                    1 => reply.cut(if honours_range { 100_000 } else { 250_000 }),
                    _ => reply,
                }
            }
        })
        .await;
        pull_r(&client(), &server.address).await.unwrap();
        let ranges: Vec<String> = server
            .requests()
            .iter()
            .filter(|request| request.target.ends_with(&digest.to_string()))
            .map(|request| request.header("range").to_owned())
            .collect();
        assert_eq!(
            ranges,
            ["", "bytes=150000-", "bytes=250000-"],
            "honours ranges: {honours_range}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_stands_still_is_given_up() {
    let image = TestImage::new(9, &[400_000]);
    let layer = Digest::sha256(&image.layers[0]);
    let server = Scripted::start(|_| {
        move |request: &Received| {
            let reply = read_reply(&image, request);
            // Announces more than it sends, and keeps the connection.
            if request.target.ends_with(&layer.to_string()) {
                Reply::new(200)
                    .header("Content-Length", "400000")
                    .body("short")
            } else {
                reply
            }
        }
    })
    .await;
    let timeouts = Timeouts {
        stall: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let client = Client::new(ClientOptions {
        timeouts,
        ..quick_options()
    })
    .unwrap();
    let start = Instant::now();
    let error = pull_r(&client, &server.address).await.unwrap_err();
    assert!(
        error.to_string().contains("the transfer stood still for"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn corrupt_content_never_arrives() {
    let image = TestImage::new(9, &[50_000]);
    let layer = Digest::sha256(&image.layers[0]);
    let config = Digest::sha256(&image.config);
    for part in ["layer", "config", "manifest", "short", "long"] {
        let image = image.clone();
        let server = Scripted::start(|_| {
            move |request: &Received| {
                let mut reply = read_reply(&image, request);
                let flip = |reply: &mut Reply| {
                    let middle = reply.body.len() / 2;
                    reply.body[middle] ^= 1;
                };
                let is_layer = request.target.ends_with(&layer.to_string());
                match part {
                    "layer" if is_layer => flip(&mut reply),
                    "config" if request.target.ends_with(&config.to_string()) => flip(&mut reply),
                    "manifest" if request.target.contains("manifests") => flip(&mut reply),
                    "short" if is_layer => reply.body.truncate(40_000),
                    "long" if is_layer => reply.body.push(0),
                    _ => {}
                }
                reply
            }
        })
        .await;
        let error = pull_r(&client(), &server.address).await.unwrap_err();
        let text = error.to_string();
        let expect = match part {
            "layer" => "",
            "short" => "the transfer ended after 40000 of",
            _ => "is corrupt: expected",
        };
        assert!(text.contains(expect), "{part}: {text}");
    }
}

#[tokio::test]
async fn html_with_200_is_no_manifest() {
    let server = Scripted::start(|_| {
        |_: &Received| {
            Reply::new(200)
                .header("Content-Type", "text/html")
                .body("<html>please log in</html>")
        }
    })
    .await;
    let error = pull_r(&client(), &server.address).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}/r:1: the answer is not a manifest (its type is `text/html`)",
            server.address
        )
    );
}

#[tokio::test]
async fn redirects_take_no_credentials_along() {
    let image = TestImage::new(2, &[90_000]);
    let layer = image.layers[0].clone();
    let storage = Scripted::start(|_| {
        let tries = AtomicUsize::new(0);
        move |request: &Received| {
            assert_eq!(
                request.header("authorization"),
                "",
                "storage must not see credentials"
            );
            let reply = ranged(request, &layer);
            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                reply.cut(30_000)
            } else {
                reply
            }
        }
    })
    .await;
    let target = format!("http://{}/signed?Signature=abc", storage.address);
    let layer = Digest::sha256(&image.layers[0]);
    let server = Scripted::start(|_| {
        move |request: &Received| {
            if request.header("authorization") != "Basic dTpw" {
                return Reply::new(401).header("WWW-Authenticate", "BASIC realm=\"Nexus\"");
            }
            if request.target.ends_with(&layer.to_string()) {
                return Reply::new(307).header("Location", target.clone());
            }
            read_reply(&image, request)
        }
    })
    .await;
    pull_r(&client_as(&server.address, "u", "p"), &server.address)
        .await
        .unwrap();
    assert_eq!(storage.requests().len(), 2);
    assert_eq!(
        server.count("GET", &layer.to_string()),
        1,
        "the broken transfer goes straight to the storage"
    );
}

#[tokio::test]
async fn redirects_in_circles_end() {
    let server = Scripted::start(|_| {
        |request: &Received| Reply::new(302).header("Location", format!("{}x", request.target))
    })
    .await;
    let error = pull_r(&client(), &server.address).await.unwrap_err();
    assert!(
        error.to_string().contains("there are too many redirects"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 11);
}

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
async fn tag_lists_are_read_to_the_end() {
    let server = Scripted::start(|_| {
        |request: &Received| match request.target.as_str() {
            "/v2/r/tags/list?n=1000" => Reply::new(200)
                .header("Link", "</v2/r/tags/list?n=1000&last=b>; rel=\"next\"")
                .body(r#"{"name":"r","tags":["b","a"]}"#),
            "/v2/r/tags/list?n=1000&last=b" => Reply::new(200)
                .header("Link", "<?last=c>; rel=\"next\"")
                .body(r#"{"name":"r","tags":["c"]}"#),
            // A registry that does not know the end.
            "/v2/r/tags/list?last=c" => Reply::new(200)
                .header("Link", "<?last=c>; rel=\"next\"")
                .body(r#"{"name":"r","tags":null}"#),
            _ => Reply::new(404),
        }
    })
    .await;
    assert_eq!(
        client()
            .tags(&reference(&format!("{}/r", server.address)))
            .await
            .unwrap(),
        ["a", "b", "c"]
    );
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

#[tokio::test]
async fn registries_are_reached_through_a_proxy_and_loopback_is_not() {
    let image = TestImage::new(1, &[100]);
    let behind = image.clone();
    let proxy = Scripted::start(|_| {
        move |request: &Received| {
            let mut request = request.clone();
            request.target = request.target.replace("http://registry.example:5000", "");
            read_reply(&behind, &request)
        }
    })
    .await;
    let proxies = kiln_registry::Proxies {
        http: Some(format!("http://{}", proxy.address).parse().unwrap()),
        ..Default::default()
    };
    let plain = kiln_registry::HostOptions {
        tls: Some(kiln_registry::Tls::Plain),
        ..Default::default()
    };
    let hosts = [("registry.example:5000".to_owned(), plain)].into();
    let client = Client::new(ClientOptions {
        proxies,
        hosts,
        ..quick_options()
    })
    .unwrap();
    pull_r(&client, "registry.example:5000").await.unwrap();
    assert!(
        proxy
            .lines()
            .iter()
            .all(|line| line.starts_with("GET http://registry.example:5000/v2/r/")),
        "{:#?}",
        proxy.lines()
    );

    let direct = Scripted::start(|_| move |request: &Received| read_reply(&image, request)).await;
    pull_r(&client, &direct.address).await.unwrap();
    assert_eq!((proxy.requests().len(), direct.requests().len()), (3, 3));
}
