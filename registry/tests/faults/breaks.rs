//! Everything that goes wrong, at every kind of registry: it ends right or with the right words, and nothing corrupt stays.

use super::*;

use kiln_registry::Error;

/// How an operation ends.
enum End {
    Right,
    /// With an error that says this.
    Says(&'static str),
    /// With some error: what it is depends on the registry.
    Fails,
}

use End::{Fails, Right, Says};

const LARGE: On = On::BlobRead { above: 100_000 };
const BODY: On = On::UploadBody { above: 100_000 };

fn answer(status: u16, retry_after: Option<&str>, body: &'static str) -> What {
    let headers = retry_after.map(|text| ("Retry-After", text.to_owned()));
    What::Answer(status, headers.into_iter().collect(), body)
}

/// Every form in which registries say how long to wait: seconds, parts of them, durations of Go, dates.
const RETRY_AFTER: [&str; 5] = [
    "0",
    "0.02",
    "15ms",
    "880.092\u{b5}s",
    "Sun, 06 Nov 1994 08:49:37 GMT",
];

/// What may happen to reads.
fn read_faults() -> Vec<(Fault, End)> {
    let mut all = vec![
        (Fault::new(On::Any, What::Hangup).times(2), Right),
        (Fault::new(LARGE, What::CutReply(50_000)).times(4), Right),
        (Fault::new(LARGE, What::Hangup).times(3), Right),
        (Fault::new(LARGE, What::Short), Right),
        (
            Fault::new(LARGE, What::Short).always(),
            Says(" bytes for a blob of "),
        ),
        (Fault::new(LARGE, What::Html).times(2), Right),
        (
            Fault::new(LARGE, What::Html).always(),
            Says("it sends an HTML page for a blob of"),
        ),
        (Fault::new(LARGE, What::Corrupt), Fails),
        (Fault::new(On::ManifestRead, What::Corrupt), Fails),
        (
            Fault::new(On::ManifestRead, What::Html),
            Says("the answer is not a manifest (its type is `text/html`)"),
        ),
        (Fault::new(On::ManifestRead, What::NoDigest), Right),
        (
            Fault::new(On::ManifestRead, What::WrongDigest),
            Says("is corrupt: expected"),
        ),
        (
            Fault::new(On::ManifestRead, answer(500, None, "out of order")).always(),
            Says("500 Internal Server Error: out of order"),
        ),
        (
            Fault::new(On::ManifestRead, answer(502, None, "")).times(3),
            Right,
        ),
        (Fault::new(LARGE, answer(503, None, "")).times(2), Right),
        (
            Fault::new(On::ManifestRead, answer(429, Some("7200"), "")).always(),
            Says("asks to wait 7200 seconds, more than the 300 allowed"),
        ),
        (
            Fault::new(On::ManifestRead, answer(404, None, "")).always(),
            Says("not found"),
        ),
    ];
    all.push((Fault::new(LARGE, What::Unauthorized), Right));
    for form in RETRY_AFTER {
        all.push((
            Fault::new(On::ManifestRead, answer(429, Some(form), "")).times(2),
            Right,
        ));
    }
    let words = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 1.5ms, allowed: 2000/minute"}]}"#;
    all.push((Fault::new(LARGE, answer(429, None, words)).times(2), Right));
    all
}

/// What may happen to writes.
fn write_faults() -> Vec<(Fault, End)> {
    let mut all = vec![
        (Fault::new(On::Any, What::Hangup).times(2), Right),
        (Fault::new(BODY, What::CutUpload(60_000)).times(3), Right),
        (Fault::new(BODY, What::CutReply(0)), Right),
        (Fault::new(BODY, answer(500, None, "")).times(2), Right),
        (
            Fault::new(BODY, answer(429, Some("0.01"), "")).times(2),
            Right,
        ),
        (
            Fault::new(On::UploadStart, answer(429, Some("0.01"), "")).times(2),
            Right,
        ),
        (
            Fault::new(On::UploadStart, answer(503, None, "")).times(2),
            Right,
        ),
        (
            Fault::new(On::UploadStart, answer(507, None, "disk full")).always(),
            Says("507 Insufficient Storage: disk full"),
        ),
        (
            Fault::new(On::UploadStart, What::Html).always(),
            Says("200 OK"),
        ),
        (
            Fault::new(BODY, What::WrongDigest),
            Says("is corrupt: expected"),
        ),
        (Fault::new(On::ManifestPut, What::Hangup), Right),
        (
            Fault::new(On::ManifestPut, answer(429, Some("0.01"), "")).times(2),
            Right,
        ),
        (
            Fault::new(
                On::ManifestPut,
                answer(
                    400,
                    None,
                    r#"{"errors":[{"code":"MANIFEST_INVALID","message":"too old"}]}"#,
                ),
            )
            .always(),
            Says("too old (MANIFEST_INVALID)"),
        ),
        (
            Fault::new(On::ManifestPut, What::WrongDigest),
            Says("is corrupt: expected"),
        ),
        (
            Fault::new(On::ManifestPut, answer(403, None, "")).always(),
            Says("refuses access to"),
        ),
        // A token that runs out in the middle; front ends that take no more, or want no length but get one.
        (Fault::new(BODY, What::Unauthorized), Right),
        (Fault::new(On::ManifestPut, What::Unauthorized), Right),
        (Fault::new(BODY, What::AnswerEarly(413)), Right),
        (Fault::new(BODY, answer(411, None, "")), Right),
    ];
    for form in RETRY_AFTER {
        let limited = Fault::new(On::UploadStart, answer(429, Some(form), ""));
        all.push((limited.times(2), Right));
    }
    all
}

/// Tokens end; passwords do not, and a stranger's word that they did is not believed.
fn applies(kind: &Profile, fault: &Fault) -> bool {
    let foreign = match fault.on {
        BODY => kind.location == profile::Location::Foreign,
        LARGE => !matches!(kind.storage, profile::Storage::Own { .. }),
        _ => false,
    };
    let tokens = matches!(kind.login, profile::Login::Token { .. });
    fault.what != What::Unauthorized || (tokens && !foreign)
}

/// Where blobs go in pieces, the answers to the pieces name no digest.
fn seen_by(kind: &Profile, fault: &Fault, end: End) -> End {
    let in_pieces = kind.whole.refused.is_some();
    if in_pieces && fault.on == BODY && fault.what == What::WrongDigest {
        return Right;
    }
    end
}

fn check<T>(what: &str, end: &End, result: &Result<T>) {
    match (end, result) {
        (Right, Ok(_)) | (Fails, Err(_)) => {}
        (Says(words), Err(error)) if error.to_string().contains(words) => {}
        _ => panic!("{what}: {:?}", result.as_ref().map(|_| "it works")),
    }
}

/// Every kind at once: most of the time is spent waiting for the next attempt.
pub(super) async fn with_every_kind<F: Future<Output = ()>>(
    play: impl Fn(&'static Profile, &'static Profile) -> F,
) {
    let pairs = PROFILES.iter().zip(PROFILES.iter().cycle().skip(1));
    let plays = pairs.map(|(kind, next)| play(kind, next));
    futures_util::future::join_all(plays).await;
}

/// A manifest that is asked for by its tag and comes without a digest is what it is.
fn is_unseen(kind: &Profile, fault: &Fault) -> bool {
    let silent = kind.digests != profile::Digests::Sent;
    silent && fault.on == On::ManifestRead && fault.what == What::Corrupt
}

#[tokio::test]
async fn pulls() {
    let image = &TestImage::new(5, &[400_000, 10]);
    with_every_kind(|kind, _| async move {
        for (fault, end) in read_faults() {
            if is_unseen(kind, &fault) || !applies(kind, &fault) {
                continue;
            }
            let registry = seeded(kind, image);
            let what = format!("{}: {fault:?}", kind.name);
            registry.fail(fault);
            let root = scratch();
            let store = store(root.path());
            let name = reference(&registry.name("r:1"));
            let pulled = pull_into(&client(&registry), &store, &name).await;
            check(&what, &end, &pulled);
            assert_sound(&store, image, pulled.is_ok());
        }
    })
    .await;
}

#[tokio::test]
async fn pushes() {
    let image = &TestImage::new(5, &[400_000, 10]);
    let root = scratch();
    let store = &stored(root.path(), image).await;
    with_every_kind(|kind, _| async move {
        for (fault, end) in write_faults() {
            if !applies(kind, &fault) {
                continue;
            }
            let registry = FaultRegistry::start(kind);
            let what = format!("{}: {fault:?}", kind.name);
            let end = seen_by(kind, &fault, end);
            registry.fail(fault);
            let name = reference(&registry.name("r:1"));
            let pushed = push_from(&client(&registry), store, image, &name).await;
            check(&what, &end, &pushed);
            match pushed {
                Ok(_) => assert_there(&registry, "r", image),
                // The registry has it, and says something else.
                Err(Error::Corrupt { what, .. }) if what.contains("r:1") => {}
                Err(_) => assert_eq!(registry.manifest("r", "1"), None, "{what}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn copies() {
    let image = &TestImage::new(6, &[400_000, 10]);
    with_every_kind(|kind, other| async move {
        let reads = read_faults().into_iter();
        // What is refused whole is read twice, and right the second time.
        let twice = other.whole.refused.is_some();
        let reads = reads.filter(|(fault, _)| {
            let healed = twice && fault.on == LARGE && fault.what == What::Corrupt;
            !is_unseen(kind, fault) && !healed && applies(kind, fault)
        });
        let reads = reads.map(|(fault, end)| (Some(fault), None, end));
        let writes = write_faults().into_iter();
        let writes = writes.filter(|(fault, _)| applies(other, fault));
        let writes = writes.map(|(fault, end)| (None, Some(fault), end));
        for (at_source, at_target, end) in reads.chain(writes) {
            let (source, target) = (seeded(kind, image), FaultRegistry::start(other));
            let what = format!(
                "{} to {}: {at_source:?} {at_target:?}",
                kind.name, other.name
            );
            let end = match &at_target {
                Some(fault) => seen_by(other, fault, end),
                None => end,
            };
            if let Some(fault) = at_source {
                source.fail(fault);
            }
            if let Some(fault) = at_target {
                target.fail(fault);
            }
            let copied = copy_r((&client(&source), &source), (&client(&target), &target)).await;
            check(&what, &end, &copied);
            if copied.is_ok() {
                assert_there(&target, "copied", image);
            }
            for (digest, bytes) in image.blobs() {
                if let Some(there) = target.blob("copied", &digest) {
                    assert_eq!(there, bytes, "{what}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn servers_that_fall_silent() {
    let image = TestImage::new(5, &[400_000, 10]);
    for what in [What::Stall(100_000), What::Crawl(100_000), What::Silence] {
        let registry = seeded(&profile::DISTRIBUTION_3, &image);
        registry.fail(Fault::new(LARGE, what.clone()).times(2));
        let root = scratch();
        let store = store(root.path());
        let name = reference(&registry.name("r:1"));
        pull_into(&impatient(&registry), &store, &name)
            .await
            .unwrap();
        assert_sound(&store, &image, true);

        let target = FaultRegistry::start(&profile::DISTRIBUTION_3);
        let silence = if what == What::Silence {
            What::Silence
        } else {
            What::Stall(0)
        };
        target.fail(Fault::new(BODY, silence));
        push_from(
            &impatient(&target),
            &store,
            &image,
            &reference(&target.name("r:1")),
        )
        .await
        .unwrap();
        assert_there(&target, "r", &image);
    }
    // For good.
    let registry = seeded(&profile::DISTRIBUTION_3, &image);
    registry.fail(Fault::new(On::ManifestRead, What::Silence).always());
    let root = scratch();
    let pulled = pull_into(
        &impatient(&registry),
        &store(root.path()),
        &reference(&registry.name("r:1")),
    )
    .await;
    assert!(pulled.unwrap_err().to_string().contains("no answer for"));
}
