//! Answers changed at random. Whatever a registry says, the client ends, without a panic, and what it takes has the right digest.
//! Every day for a moment; `cargo xtask soak --only fuzz-registry` for minutes.
//!
//! Addresses are never changed: a test talks to nobody but its own server.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// How long the test takes, unless the soak says otherwise.
const SECONDS: u64 = 2;

/// One pull or push takes milliseconds; a client that waits longer waits for ever.
const LIMIT: Duration = Duration::from_secs(60);

const STATUSES: [u16; 17] = [
    200, 201, 202, 204, 206, 301, 304, 307, 400, 401, 403, 404, 405, 416, 429, 500, 503,
];

/// What a header or a document may hold, whole or as a piece of it.
const WORDS: [&str; 24] = [
    "",
    " ",
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "<",
    ">",
    "0",
    "-1",
    "0-0",
    "bytes 0-0/1",
    "bytes */*",
    "18446744073709551616",
    "Bearer realm=",
    "scope=\"",
    "sha256:",
    "null",
    "[]",
    "{\"errors\":[]}",
    "{\"token\":1}",
    "application/json",
    "\u{e4}",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn change(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(3) {
            let place = self.below(letters.len() + 1);
            let end = (place + self.below(8)).min(letters.len());
            let word: Vec<char> = self.word().chars().collect();
            letters.splice(place..end, word);
        }
        letters.into_iter().collect()
    }
}

/// Changes an answer, or leaves it as it is, which is the most common.
fn changed(random: &mut Random, address: &str, mut reply: Reply) -> Reply {
    match random.below(10) {
        0 => reply.status = STATUSES[random.below(STATUSES.len())],
        1 => {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            reply.body = random.change(&body).into_bytes();
        }
        2 => {
            if let Some(index) = reply.headers.len().checked_sub(1) {
                let index = random.below(index + 1);
                let (name, value) = reply.headers[index].clone();
                if name != "Location" {
                    reply.headers[index].1 = random.change(&value);
                }
            }
        }
        3 => {
            let challenge = format!("Bearer realm=\"http://{address}/token\"");
            let rest = random.change(",service=\"s\",scope=\"repository:r:pull,push\",error=\"e\"");
            reply.status = 401;
            reply = reply.header("WWW-Authenticate", challenge + &rest);
        }
        4 => {
            let path = random.change("v2/r/blobs/uploads/1?state=x&digest=y#z");
            reply = reply.header("Location", format!("http://{address}/v2/{path}"));
        }
        5 => {
            let names = [
                "Range",
                "Content-Range",
                "OCI-Chunk-Min-Length",
                "Link",
                "Docker-Content-Digest",
            ];
            let value = random.change("0-99");
            reply = reply.header(names[random.below(names.len())], value);
        }
        6 => {
            let length = reply.body.len();
            reply = reply.cut(random.below(length + 1));
        }
        _ => {}
    }
    // A header of a line of its own would be another answer.
    for (_, value) in &mut reply.headers {
        value.retain(|letter| !letter.is_control());
    }
    reply
}

/// What an obliging registry answers to a push.
fn write_reply(address: &str, request: &Received) -> Reply {
    match request.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => {
            Reply::new(202).header("Location", format!("http://{address}/v2/r/blobs/uploads/1"))
        }
        "PATCH" => Reply::new(202)
            .header("Location", format!("http://{address}/v2/r/blobs/uploads/1"))
            .header("Range", "0-99"),
        _ => Reply::new(201),
    }
}

#[tokio::test]
async fn whatever_is_answered_the_client_ends() {
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.lock().unwrap().push(panic.to_string());
        usual(panic);
    }));
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let clock = || {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        time.map_or(0, |time| u64::from(time.subsec_nanos()))
    };
    let seed: u64 = setting("KILN_TEST_SEED").unwrap_or_else(clock);
    eprintln!("seed {seed}");
    let limit = Duration::from_secs(setting("KILN_FUZZ_SECONDS").unwrap_or(SECONDS));
    let (mut count, mut good, mut round) = (0_u64, 0_u64, 0_u64);
    let started = Instant::now();
    while started.elapsed() < limit {
        round += 1;
        let image = TestImage::new(1, &[100, 3000]);
        let random = Mutex::new(Random(seed.wrapping_add(round)));
        let push = round % 2 == 0;
        let served = image.clone();
        let server = Scripted::start(|address| {
            let address = address.to_owned();
            move |request: &Received| {
                let reply = if request.path() == "/token" {
                    Reply::new(200).body(r#"{"token":"t","expires_in":60}"#)
                } else if push {
                    write_reply(&address, request)
                } else {
                    read_reply(&served, request)
                };
                changed(&mut random.lock().unwrap(), &address, reply)
            }
        })
        .await;
        let client = Client::new(ClientOptions {
            longest_wait: Duration::from_millis(50),
            ..quick_options()
        })
        .unwrap();
        let done = if push {
            let root = scratch();
            let store = support::stored(root.path(), &image).await;
            let name = reference(&format!("{}/r:1", server.address));
            let pushed = support::push_from(&client, &store, &image, &name);
            tokio::time::timeout(LIMIT, pushed)
                .await
                .map(|done| done.is_ok())
        } else {
            let pulled = pull_r(&client, &server.address);
            tokio::time::timeout(LIMIT, pulled)
                .await
                .map(|done| done.is_ok())
        };
        let requests = server.lines();
        let done =
            done.unwrap_or_else(|_| panic!("seed {seed}, round {round}: no end; {requests:?}"));
        count += 1;
        good += u64::from(done);
        let panics = PANICS.lock().unwrap();
        assert!(
            panics.is_empty(),
            "seed {seed}, round {round}: {panics:?}; {requests:?}"
        );
    }
    eprintln!("counted {count} pulls and pushes, {good} of them went through");
}
