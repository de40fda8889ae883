//! Passwords, and a registry that is down.

use super::*;

#[tokio::test]
async fn passwords() {
    let Some(registry) =
        DockerRegistry::start_with(Some(("alice", "secret"))).filter(|_| has("skopeo"))
    else {
        return;
    };
    let image = TestImage::new(3, &[100_000]);
    let layout = scratch();
    image.write_layout(layout.path(), "x");
    let source = format!("oci:{}:x", layout.path().display());
    run(
        "skopeo",
        &[
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
            "alice:secret",
            &source,
            &format!("docker://{}", registry.name("p:1")),
        ],
    );
    let root = scratch();
    let store = store(root.path());
    let name = reference(&registry.name("p:1"));
    let host = registry.address.clone();

    let error = pull_into(&client(), &store, &name).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{host} refuses access to p (pull): authentication required (UNAUTHORIZED); no credentials are known for it; `kiln login {host}` stores them"
        )
    );
    let wrong = client_as(&host, "alice", "wrong");
    let error = wrong.check_login(&host).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("the credentials from the command line were sent"),
        "{error}"
    );
    assert!(!error.to_string().contains("wrong"), "{error}");

    let right = client_as(&host, "alice", "secret");
    right.check_login(&host).await.unwrap();
    pull_into(&right, &store, &name).await.unwrap();
    let pushed = push(
        &right,
        &store,
        &image.digest(),
        &reference(&registry.name("q:1")),
        &PushOptions::default(),
        &ignore,
    )
    .await
    .unwrap();
    assert_eq!((pushed.mounted, pushed.sent), (1, 1));
}

#[tokio::test]
async fn a_registry_that_is_down() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = client()
        .digest(&reference(&format!("127.0.0.1:{port}/x")))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "HEAD http://127.0.0.1:{port}/v2/x/manifests/latest: cannot connect: Connection refused (os error 111)"
        )
    );
}
