//! Known values and what is refused.

use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn known_values_and_round_trip() {
    let digest = Digest::sha256(b"");
    assert_eq!(digest.to_string(), EMPTY);
    assert_eq!(EMPTY.parse::<Digest>().unwrap(), digest);
    assert_eq!(digest.short(), "e3b0c44298fc");
    assert_eq!(
        serde_json::to_string(&digest).unwrap(),
        format!("\"{EMPTY}\"")
    );
    assert_eq!(
        serde_json::from_str::<Digest>(&format!("\"{EMPTY}\"")).unwrap(),
        digest
    );
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"kiln");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.as_bytes().len(), algorithm.size());
    }
}

#[test]
fn refused() {
    let check = |text: &str, message: &str| {
        let error = text.parse::<Digest>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    };
    check("", "invalid digest format");
    check("sha256", "invalid digest format");
    check("sha256:", "invalid digest format");
    check(":abc", "invalid digest format");
    check("sha256:abc", "invalid digest length");
    check(&EMPTY.to_uppercase(), "invalid digest format");
    check(&EMPTY.replace("e3b0", "E3B0"), "invalid digest format");
    check(&EMPTY.replace("e3b0", "e3bg"), "invalid digest format");
    check(
        &EMPTY.replace("sha256", "md5"),
        "unsupported digest algorithm",
    );
    check(
        &EMPTY.replace("sha256", "sha256+b64u"),
        "unsupported digest algorithm",
    );
    check(&EMPTY.replace("sha256", "sha512"), "invalid digest length");
    check("../../etc/passwd:00", "invalid digest format");
}
