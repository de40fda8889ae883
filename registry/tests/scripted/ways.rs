//! Redirects and proxies.

use super::*;

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

#[tokio::test]
async fn one_registry_has_a_proxy_of_its_own() {
    let image = TestImage::new(1, &[100]);
    let behind = image.clone();
    let proxy = Scripted::start(|_| {
        move |request: &Received| {
            let mut request = request.clone();
            request.target = request.target.replace("http://127.0.0.1:9", "");
            read_reply(&behind, &request)
        }
    })
    .await;
    let text = format!(
        "server = 'http://127.0.0.1:9'\nproxy = 'http://{}'\n",
        proxy.address
    );
    let read = |_: &str| Err("no files".to_owned());
    let hosts = kiln_registry::routes::HostsToml::parse(&text, "hosts.toml", &read).unwrap();
    let client = Client::new(ClientOptions {
        routes: kiln_registry::routes::Routes {
            hosts: [("127.0.0.1:9".to_owned(), hosts)].into(),
            ..Default::default()
        },
        ..quick_options()
    })
    .unwrap();
    // Nobody listens there; all others are reached directly.
    pull_r(&client, "127.0.0.1:9").await.unwrap();
    let direct = Scripted::start(|_| move |request: &Received| read_reply(&image, request)).await;
    pull_r(&client, &direct.address).await.unwrap();
    assert_eq!((proxy.requests().len(), direct.requests().len()), (3, 3));
    let wrong = kiln_registry::routes::HostsToml::parse(
        "server = 'http://x'\nproxy = 'nonsense'\n",
        "hosts.toml",
        &read,
    );
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "hosts.toml: the address in `proxy` is no URL"
    );
}
