//! The ways of an upload: fewest requests, refused sizes and methods, breaks, and what is remembered.

use super::*;

use kiln_registry::{BlobUpload, BytesBlob, Placed, RemoteRepository};
use kiln_store::{Descriptor, media_type};
use support::image::noise;

fn upload(seed: u64, size: usize) -> BlobUpload {
    let bytes = noise(seed, size);
    BlobUpload {
        descriptor: Descriptor::new(
            media_type::OCI_LAYER_GZIP,
            Digest::sha256(&bytes),
            size as u64,
        ),
        source: Arc::new(BytesBlob(bytes.into())),
        origins: Vec::new(),
    }
}

fn target(client: &Client, registry: &FaultRegistry) -> RemoteRepository {
    client.repository(&reference(&registry.name("r:1")), Access::Push)
}

/// Puts blobs one after the other; what is there afterwards is right.
async fn put(
    client: &Client,
    registry: &FaultRegistry,
    blobs: &[BlobUpload],
) -> Result<Vec<Placed>> {
    let repository = target(client, registry);
    let mut placed = Vec::new();
    for blob in blobs {
        placed.push(repository.put_blob(blob).await?);
        let there = registry
            .blob("r", &blob.descriptor.digest)
            .map(|bytes| Digest::sha256(&bytes));
        assert_eq!(there, Some(blob.descriptor.digest));
    }
    Ok(placed)
}

/// A client that begins in this way.
fn client_by(registry: &FaultRegistry, way: &str) -> Client {
    let host = HostOptions {
        upload: Some(way.parse().unwrap()),
        ..HostOptions::default()
    };
    client_with(registry, |options| {
        _ = options.hosts.insert(registry.address.clone(), host)
    })
}

fn client_with(registry: &FaultRegistry, change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = support::options_as(&registry.address, "user", "pass");
    change(&mut options);
    Client::new(options).unwrap()
}

fn sizes_sent(registry: &FaultRegistry, method: &str) -> usize {
    registry.count(method, "uploads/") + registry.count(method, "/upload/")
}

#[tokio::test]
async fn one_request_for_a_blob_that_is_there_and_two_for_a_new_one() {
    let root = scratch();
    let memory = store(root.path());
    for kind in PROFILES
        .iter()
        .filter(|kind| kind.mounts == profile::Mounts::Work)
    {
        let registry = FaultRegistry::start(kind);
        let remembering = |registry: &FaultRegistry| {
            client_with(registry, |options| {
                options.memory = Some(Arc::new(memory.clone()))
            })
        };
        let whole = upload(1, 200_000);
        // A first client finds out what mounts do; its successors know.
        put(
            &remembering(&registry),
            &registry,
            &[upload(2, 100), whole.clone()],
        )
        .await
        .unwrap();
        let client = remembering(&registry);
        let repository = target(&client, &registry);
        // The first request also learns what the registry wants to know of us.
        assert_eq!(repository.put_blob(&whole).await.unwrap(), Placed::Present);
        let before = repository.traffic();
        assert_eq!(repository.put_blob(&whole).await.unwrap(), Placed::Present);
        let present = repository.traffic();
        assert_eq!(present.requests - before.requests, 1, "{}", kind.name);
        let (piece, patches) = (upload(3, 300_000), kind.whole.refused.is_some());
        assert_eq!(repository.put_blob(&piece).await.unwrap(), Placed::Sent);
        let sent = repository.traffic();
        assert_eq!(
            sent.requests - present.requests,
            2 + u64::from(patches),
            "{}",
            kind.name
        );
        assert_eq!(sent.sent - present.sent, 300_000, "{}", kind.name);
    }
}

#[tokio::test]
async fn what_is_refused_whole_goes_in_pieces_and_that_is_remembered() {
    for status in [404, 405, 411, 413, 416] {
        let registry = FaultRegistry::start(&profile::DISTRIBUTION_2);
        // Nothing above a megabyte, whatever the method.
        let on = On::UploadBody { above: 1 << 20 };
        registry.fail(Fault::new(on, What::Answer(status, Vec::new(), "no")).always());
        let root = scratch();
        let memory = store(root.path());
        let client = || {
            client_with(&registry, |options| {
                options.memory = Some(Arc::new(memory.clone()))
            })
        };
        put(&client(), &registry, &[upload(1, 5_000_000)])
            .await
            .unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(
            registry.open_uploads(),
            0,
            "{status}: what was given up is cancelled"
        );
        registry.forget();
        put(&client(), &registry, &[upload(2, 3_000_000)])
            .await
            .unwrap();
        assert_eq!(
            sizes_sent(&registry, "PATCH"),
            3,
            "{status}: {:#?}",
            registry.requests()
        );
        assert_eq!(registry.upload_bytes_received(), 3_000_000, "{status}");
    }
}

#[tokio::test]
async fn front_ends_that_hang_up_on_large_bodies_get_pieces() {
    for what in [What::AnswerEarly(413), What::CutUpload(100_000)] {
        let registry = FaultRegistry::start(&profile::DISTRIBUTION_2);
        registry.fail(Fault::new(On::UploadBody { above: 1 << 20 }, what).always());
        put(&client(&registry), &registry, &[upload(1, 3_500_000)])
            .await
            .unwrap();
        assert_eq!(
            sizes_sent(&registry, "PATCH"),
            4,
            "{:#?}",
            registry.requests()
        );
    }
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_the_registry_says_it_is() {
    for way in ["put", "stream", "chunked:700000"] {
        let registry = FaultRegistry::start(&profile::DISTRIBUTION_3);
        let on = On::UploadBody { above: 400_000 };
        registry.fail(Fault::new(on, What::CutUpload(300_000)).times(2));
        put(
            &client_by(&registry, way),
            &registry,
            &[upload(1, 2_000_000)],
        )
        .await
        .unwrap();
        assert_eq!(
            registry.upload_bytes_received(),
            2_000_000,
            "{way}: no byte arrives twice"
        );
        assert_eq!(
            registry.count("POST", "uploads/"),
            1,
            "{way}: one session: {:#?}",
            registry.requests()
        );
    }
}

#[tokio::test]
async fn a_broken_upload_begins_again_where_nothing_is_left_of_it() {
    for kind in PROFILES.iter().filter(|kind| !kind.resumes) {
        let registry = FaultRegistry::start(kind);
        let on = On::UploadBody { above: 100_000 };
        registry.fail(Fault::new(on, What::CutUpload(300_000)));
        put(&client(&registry), &registry, &[upload(1, 800_000)])
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        // Where whole blobs are refused, the second attempt finds that out.
        let refused = if kind.whole.refused.is_some() {
            800_000
        } else {
            0
        };
        assert_eq!(
            registry.upload_bytes_received(),
            1_100_000 + refused,
            "{}",
            kind.name
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_costs_no_second_upload() {
    let registry = FaultRegistry::start(&profile::DISTRIBUTION_2);
    registry.fail(Fault::new(
        On::UploadBody { above: 100_000 },
        What::CutReply(0),
    ));
    // The whole body arrived, only the end of the answer is missing.
    put(&client(&registry), &registry, &[upload(1, 800_000)])
        .await
        .unwrap();
    assert_eq!(registry.upload_bytes_received(), 800_000);
}

#[tokio::test]
async fn a_range_that_stands_still_is_not_believed() {
    let registry = FaultRegistry::start(&profile::ECR);
    put(
        &client_by(&registry, "chunked:600000"),
        &registry,
        &[upload(1, 2_000_000)],
    )
    .await
    .unwrap();
    assert_eq!(sizes_sent(&registry, "PATCH"), 4);
    assert_eq!(registry.upload_bytes_received(), 2_000_000);
}

#[tokio::test]
async fn pieces_are_as_large_as_the_registry_wants_and_no_larger() {
    // ECR's smallest, GHCR's largest.
    for (kind, way, patches) in [
        (&profile::ECR, "chunked:100000", 4),
        (&profile::GHCR, "chunked:8m", 2),
    ] {
        let registry = FaultRegistry::start(kind);
        put(
            &client_by(&registry, way),
            &registry,
            &[upload(1, 2_000_000)],
        )
        .await
        .unwrap();
        let all = sizes_sent(&registry, "PATCH");
        // One of GHCR's was refused before.
        assert!(all == patches || all == patches + 1, "{}: {all}", kind.name);
    }
}

#[tokio::test]
async fn one_patch_is_enough_where_more_are_refused() {
    let registry = FaultRegistry::start(&profile::GAR);
    put(
        &client_by(&registry, "stream"),
        &registry,
        &[upload(1, 2_000_000)],
    )
    .await
    .unwrap();
    assert_eq!(sizes_sent(&registry, "PATCH"), 1);
    assert_eq!(registry.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn tokens_that_end_in_the_middle_are_renewed() {
    for kind in PROFILES
        .iter()
        .filter(|kind| matches!(kind.login, profile::Login::Token { .. }))
    {
        let registry = FaultRegistry::start(kind);
        let on = On::UploadBody { above: 100_000 };
        registry.fail(Fault::new(on, What::Unauthorized));
        let foreign = kind.location == profile::Location::Foreign;
        let placed = put(&client(&registry), &registry, &[upload(1, 800_000)]).await;
        // A stranger's 401 gets no credentials.
        assert_eq!(placed.is_ok(), !foreign, "{}: {placed:?}", kind.name);
    }
}
