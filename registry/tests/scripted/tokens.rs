//! Tokens and refused credentials.

use super::*;

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
