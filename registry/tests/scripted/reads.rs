//! Limits, failing servers, broken streams and wrong content.

use super::*;

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
    let size = image.layers[0].len().to_string();
    let server = Scripted::start(|_| {
        move |request: &Received| {
            let reply = read_reply(&image, request);
            // Announces more than it sends, and keeps the connection.
            if request.target.ends_with(&layer.to_string()) {
                Reply::new(200)
                    .header("Content-Length", size.clone())
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
            "short" => "it sends 40000 bytes for a blob of",
            "long" => " bytes for a blob of",
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
