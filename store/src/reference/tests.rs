//! The parser held to Docker's tables (distribution/reference: `normalize_test.go`, `reference_test.go`) and to more of the
//! same kind.

use proptest::prelude::*;

use super::*;

const HEX64: &str = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
const SHA256: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// Input, normalised form, familiar form. `$D` stands for a digest and `$H` for 64 hexadecimal digits.
#[rustfmt::skip]
const VALID: &[(&str, &str, &str)] = &[
    // One word is a name of Docker Hub's library, whatever it looks like.
    ("debian", "docker.io/library/debian", "debian"),
    ("debian:12", "docker.io/library/debian:12", "debian:12"),
    ("debian:latest", "docker.io/library/debian:latest", "debian:latest"),
    ("debian@$D", "docker.io/library/debian@$D", "debian@$D"),
    ("debian:12@$D", "docker.io/library/debian:12@$D", "debian:12@$D"),
    ("localhost", "docker.io/library/localhost", "localhost"),
    ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ("192.168.0.1", "docker.io/library/192.168.0.1", "192.168.0.1"),
    ("192.168.0.1:80", "docker.io/library/192.168.0.1:80", "192.168.0.1:80"),
    ("registry.example.com", "docker.io/library/registry.example.com", "registry.example.com"),
    ("docker.io", "docker.io/library/docker.io", "docker.io"),
    ("a", "docker.io/library/a", "a"),
    ("0", "docker.io/library/0", "0"),
    ("a.b", "docker.io/library/a.b", "a.b"),
    ("a_b", "docker.io/library/a_b", "a_b"),
    ("a__b", "docker.io/library/a__b", "a__b"),
    ("a-b", "docker.io/library/a-b", "a-b"),
    ("a--b", "docker.io/library/a--b", "a--b"),
    ("a-----b", "docker.io/library/a-----b", "a-----b"),
    ("1.2.3", "docker.io/library/1.2.3", "1.2.3"),
    ("scratch", "docker.io/library/scratch", "scratch"),
    ("thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev", "docker.io/library/thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev", "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev"),
    // Names of users and of the library itself.
    ("docker/docker", "docker.io/docker/docker", "docker/docker"),
    ("library/debian", "docker.io/library/debian", "debian"),
    ("library/debian:12", "docker.io/library/debian:12", "debian:12"),
    ("library/a/b", "docker.io/library/a/b", "library/a/b"),
    ("library/library", "docker.io/library/library", "library"),
    ("fedora/httpd:version1.0", "docker.io/fedora/httpd:version1.0", "fedora/httpd:version1.0"),
    ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", "foo/foo_bar.com:8080"),
    ("foo_bar/baz", "docker.io/foo_bar/baz", "foo_bar/baz"),
    ("a/b/c/d", "docker.io/a/b/c/d", "a/b/c/d"),
    ("aa/asdf$$", "", ""),
    ("user-name/repo_name", "docker.io/user-name/repo_name", "user-name/repo_name"),
    ("0/0", "docker.io/0/0", "0/0"),
    // Docker Hub by its names.
    ("docker.io/debian", "docker.io/library/debian", "debian"),
    ("docker.io/library/debian", "docker.io/library/debian", "debian"),
    ("docker.io/docker/docker", "docker.io/docker/docker", "docker/docker"),
    ("docker.io/debian:12", "docker.io/library/debian:12", "debian:12"),
    ("docker.io/debian@$D", "docker.io/library/debian@$D", "debian@$D"),
    ("index.docker.io/debian", "docker.io/library/debian", "debian"),
    ("index.docker.io/library/debian", "docker.io/library/debian", "debian"),
    ("index.docker.io/docker/docker", "docker.io/docker/docker", "docker/docker"),
    ("index.docker.io/docker/docker:1", "docker.io/docker/docker:1", "docker/docker:1"),
    ("registry-1.docker.io/library/debian", "registry-1.docker.io/library/debian", "registry-1.docker.io/library/debian"),
    ("docker.io/$H", "docker.io/library/$H", "$H"),
    ("docker.io:443/debian", "docker.io:443/debian", "docker.io:443/debian"),
    // Other registries: a dot, a colon, localhost or a capital letter make a domain.
    ("localhost/foo", "localhost/foo", "localhost/foo"),
    ("localhost/foo/bar", "localhost/foo/bar", "localhost/foo/bar"),
    ("localhost/library/foo", "localhost/library/foo", "localhost/library/foo"),
    ("localhost:5000/foo", "localhost:5000/foo", "localhost:5000/foo"),
    ("localhost:5000/foo:1", "localhost:5000/foo:1", "localhost:5000/foo:1"),
    ("localhost:5000/foo@$D", "localhost:5000/foo@$D", "localhost:5000/foo@$D"),
    ("localhost:5000/foo:1@$D", "localhost:5000/foo:1@$D", "localhost:5000/foo:1@$D"),
    ("localhost:80/foo/bar", "localhost:80/foo/bar", "localhost:80/foo/bar"),
    ("127.0.0.1:5000/docker/docker", "127.0.0.1:5000/docker/docker", "127.0.0.1:5000/docker/docker"),
    ("127.0.0.1:5000/library/debian", "127.0.0.1:5000/library/debian", "127.0.0.1:5000/library/debian"),
    ("127.0.0.1:5000/debian", "127.0.0.1:5000/debian", "127.0.0.1:5000/debian"),
    ("127.0.0.1/debian", "127.0.0.1/debian", "127.0.0.1/debian"),
    ("192.168.0.1:8/debian", "192.168.0.1:8/debian", "192.168.0.1:8/debian"),
    ("192.168.0.2:25000/debian", "192.168.0.2:25000/debian", "192.168.0.2:25000/debian"),
    ("192.168.1.1:80/repo:tag", "192.168.1.1:80/repo:tag", "192.168.1.1:80/repo:tag"),
    ("test.example.com/repo", "test.example.com/repo", "test.example.com/repo"),
    ("test.com/foo", "test.com/foo", "test.com/foo"),
    ("test.com:8080/foo", "test.com:8080/foo", "test.com:8080/foo"),
    ("test.com:tag/foo", "", ""),
    ("test:5000/repo", "test:5000/repo", "test:5000/repo"),
    ("test:5000/repo:tag", "test:5000/repo:tag", "test:5000/repo:tag"),
    ("test:5000/repo@$D", "test:5000/repo@$D", "test:5000/repo@$D"),
    ("test:5000/repo:tag@$D", "test:5000/repo:tag@$D", "test:5000/repo:tag@$D"),
    ("quay.io/a/b/c", "quay.io/a/b/c", "quay.io/a/b/c"),
    ("ghcr.io/owner/repo:v1.0.0", "ghcr.io/owner/repo:v1.0.0", "ghcr.io/owner/repo:v1.0.0"),
    ("gcr.io/project-1/image@$D", "gcr.io/project-1/image@$D", "gcr.io/project-1/image@$D"),
    ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:x", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:x", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:x"),
    ("mcr.microsoft.com/dotnet/sdk:8.0", "mcr.microsoft.com/dotnet/sdk:8.0", "mcr.microsoft.com/dotnet/sdk:8.0"),
    ("my-registry.local/x", "my-registry.local/x", "my-registry.local/x"),
    ("xn--n3h.com/myimage", "xn--n3h.com/myimage", "xn--n3h.com/myimage"),
    ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
    ("xn--n3h.com/xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/xn--n3h.com/myimage:xn--n3h.com"),
    ("a.b.c.d.e/f", "a.b.c.d.e/f", "a.b.c.d.e/f"),
    ("1.1.1.1/x", "1.1.1.1/x", "1.1.1.1/x"),
    ("reg.io/library/debian", "reg.io/library/debian", "reg.io/library/debian"),
    ("Docker/docker", "Docker/docker", "Docker/docker"),
    ("DOCKER/docker", "DOCKER/docker", "DOCKER/docker"),
    ("Foo/bar:1", "Foo/bar:1", "Foo/bar:1"),
    ("Example.COM/app", "Example.COM/app", "Example.COM/app"),
    ("a-b.c-d/e", "a-b.c-d/e", "a-b.c-d/e"),
    ("reg:0/x", "reg:0/x", "reg:0/x"),
    ("reg:00005000/x", "reg:00005000/x", "reg:00005000/x"),
    // IPv6 registries.
    ("[fc00::1]:5000/docker", "[fc00::1]:5000/docker", "[fc00::1]:5000/docker"),
    ("[fc00::1]:5000/docker/docker", "[fc00::1]:5000/docker/docker", "[fc00::1]:5000/docker/docker"),
    ("[fc00:1:2:3:4:5:6:7]:5000/library/debian", "[fc00:1:2:3:4:5:6:7]:5000/library/debian", "[fc00:1:2:3:4:5:6:7]:5000/library/debian"),
    ("[2001:db8::1]/repo", "[2001:db8::1]/repo", "[2001:db8::1]/repo"),
    ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo"),
    ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag"),
    ("[2001:db8::1]:5000/repo@$D", "[2001:db8::1]:5000/repo@$D", "[2001:db8::1]:5000/repo@$D"),
    ("[2001:db8:1:2:3:4:5:6]:5000/repo:tag", "[2001:db8:1:2:3:4:5:6]:5000/repo:tag", "[2001:db8:1:2:3:4:5:6]:5000/repo:tag"),
    ("[2001:db8::]:5000/repo", "[2001:db8::]:5000/repo", "[2001:db8::]:5000/repo"),
    ("[::1]:5000/repo", "[::1]:5000/repo", "[::1]:5000/repo"),
    ("[::1]/a/b", "[::1]/a/b", "[::1]/a/b"),
    ("[FC00::A]/x", "[FC00::A]/x", "[FC00::A]/x"),
    // Tags may have capitals; a name with 64 digits is fine as soon as it is more than that.
    ("debian:Bookworm", "docker.io/library/debian:Bookworm", "debian:Bookworm"),
    ("debian:_x", "docker.io/library/debian:_x", "debian:_x"),
    ("debian:1.2-3_4", "docker.io/library/debian:1.2-3_4", "debian:1.2-3_4"),
    ("debian:0", "docker.io/library/debian:0", "debian:0"),
    ("a:b-", "docker.io/library/a:b-", "a:b-"),
    ("a:b.", "docker.io/library/a:b.", "a:b."),
    ("$H:x", "docker.io/library/$H:x", "$H:x"),
    ("user/$H", "docker.io/user/$H", "user/$H"),
    ("localhost/$H", "localhost/$H", "localhost/$H"),
    ("sha256:ffff", "docker.io/library/sha256:ffff", "sha256:ffff"),
    ("sha256", "docker.io/library/sha256", "sha256"),
];

/// Input and a part of the message. An empty expectation in [`VALID`] means the same with Docker's general words.
#[rustfmt::skip]
const INVALID: &[(&str, &str)] = &[
    ("", "invalid reference format"),
    (" ", "invalid reference format"),
    (":", "invalid reference format"),
    ("/", "invalid reference format"),
    ("@", "invalid reference format"),
    (":justtag", "invalid reference format"),
    ("@$D", "invalid reference format"),
    ("repo@sha256:ffffffffffffffffffffffffffffffff", "invalid digest length"),
    ("validname@invaliddigest:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "unsupported digest algorithm"),
    ("repo@sha256:fff", "invalid reference format"),
    ("repo@sha256:FFFFffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "invalid digest format"),
    ("repo@sha256", "invalid reference format"),
    ("repo@", "invalid reference format"),
    ("repo@$D@$D", "invalid reference format"),
    ("repo@$D:tag", "invalid reference format"),
    ("repo:", "invalid reference format"),
    ("repo:a:b", "invalid reference format"),
    ("repo:.x", "invalid reference format"),
    ("repo:-x", "invalid reference format"),
    ("repo:x y", "invalid reference format"),
    ("repo:äöü", "invalid reference format"),
    ("repo:x/y", "invalid reference format"),
    ("$H", "cannot specify 64-byte hexadecimal strings"),
    ("https://github.com/docker/docker", "invalid reference format"),
    ("docker/Docker", "repository name (docker/Docker) must be lowercase"),
    ("docker.io/docker/Docker", "repository name (docker/Docker) must be lowercase"),
    ("Uppercase", "must be lowercase"),
    ("Uppercase:tag", "repository name (library/Uppercase) must be lowercase"),
    ("test:5000/Uppercase/lowercase:tag", "repository name (Uppercase/lowercase) must be lowercase"),
    ("localhost/Foo", "must be lowercase"),
    ("a/B:c", "must be lowercase"),
    ("aa/Ä", "must be lowercase"),
    ("-docker", "invalid reference format"),
    ("-docker/docker", "invalid reference format"),
    ("-docker.io/docker/docker", "invalid reference format"),
    ("docker-.io/docker", "invalid reference format"),
    ("docker///docker", "invalid reference format"),
    ("docker.io/docker///docker", "invalid reference format"),
    ("docker//docker", "invalid reference format"),
    ("docker/", "invalid reference format"),
    ("/docker", "invalid reference format"),
    ("docker.io/", "invalid reference format"),
    ("localhost/", "invalid reference format"),
    ("localhost:5000/", "invalid reference format"),
    ("a_", "invalid reference format"),
    ("_a", "invalid reference format"),
    ("a___b", "invalid reference format"),
    ("a..b", "invalid reference format"),
    ("a._b", "invalid reference format"),
    ("a.-b", "invalid reference format"),
    ("a-_b", "invalid reference format"),
    (".a", "invalid reference format"),
    ("a.", "invalid reference format"),
    ("a-", "invalid reference format"),
    ("a/-b", "invalid reference format"),
    ("a/b-", "invalid reference format"),
    ("a/./b", "invalid reference format"),
    ("a/../b", "invalid reference format"),
    ("../x", "invalid reference format"),
    ("./x", "invalid reference format"),
    ("a$b", "invalid reference format"),
    ("a b", "invalid reference format"),
    ("a\tb", "invalid reference format"),
    ("a\n", "invalid reference format"),
    ("a/b\0", "invalid reference format"),
    ("aa/asdf$$^/aa", "invalid reference format"),
    ("bücher/x", "invalid reference format"),
    ("x.ä/y", "invalid reference format"),
    ("a b.c/d", "invalid reference format"),
    ("reg_x.com/a", "invalid reference format"),
    ("reg.com:/a", "invalid reference format"),
    ("reg.com:x/a", "invalid reference format"),
    ("reg.com:80:80/a", "invalid reference format"),
    ("reg..com/a", "invalid reference format"),
    (".com/a", "invalid reference format"),
    ("reg.com./a", "invalid reference format"),
    ("[fc00::1]", "invalid reference format"),
    ("[fc00::1]:5000", "invalid reference format"),
    ("fc00::1:5000/debian", "invalid reference format"),
    ("[fe80::1%eth0]:5000/debian", "invalid reference format"),
    ("[fe80::1%@invalidzone]:5000/debian", "invalid reference format"),
    ("[2001:db8:3:4::192.0.2.33]:5000/debian", "invalid reference format"),
    ("[]/x", "invalid reference format"),
    ("[::1/x", "invalid reference format"),
    ("[::1]x/y", "invalid reference format"),
    ("[::1]:/y", "invalid reference format"),
    ("[:g]/y", "invalid reference format"),
    ("docker.io/a@sha256:ffff", "invalid reference format"),
];

fn fill(text: &str) -> String {
    text.replace("$D", SHA256).replace("$H", HEX64)
}

#[test]
fn valid() {
    for (input, normal, familiar) in VALID {
        let (input, normal, familiar) = (fill(input), fill(normal), fill(familiar));
        let parsed = input.parse::<Reference>();
        if normal.is_empty() {
            assert!(
                matches!(parsed, Err(ReferenceError::Format(_))),
                "{input}: {parsed:?}"
            );
            continue;
        }
        let reference = parsed.unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(reference.to_string(), normal, "{input}");
        assert_eq!(reference.familiar(), familiar, "{input}");
        assert_eq!(
            normal.parse::<Reference>().as_ref(),
            Ok(&reference),
            "{normal}"
        );
        // Docker's own names of 64 digits are the one case where the familiar form cannot be read back.
        if !parse::is_identifier(&familiar) {
            assert_eq!(
                familiar.parse::<Reference>().as_ref(),
                Ok(&reference),
                "{familiar}"
            );
        }
    }
}

#[test]
fn invalid() {
    for (input, message) in INVALID {
        let input = fill(input);
        match input.parse::<Reference>() {
            Ok(reference) => panic!("{input:?} was read as {reference}"),
            Err(error) => assert!(error.to_string().contains(message), "{input:?}: {error}"),
        }
    }
    assert!(VALID.len() + INVALID.len() >= 150);
}

#[test]
fn lengths() {
    let path = |length: usize| "a".repeat(length);
    assert!(format!("a/{}", path(253)).parse::<Reference>().is_ok());
    assert_eq!(
        format!("a/{}", path(254)).parse::<Reference>(),
        Err(ReferenceError::TooLong)
    );
    assert!(format!("reg.io/{}", path(255)).parse::<Reference>().is_ok());
    assert_eq!(
        format!("reg.io/{}", path(256)).parse::<Reference>(),
        Err(ReferenceError::TooLong)
    );
    assert!(format!("a:{}", path(128)).parse::<Reference>().is_ok());
    assert!(format!("a:{}", path(129)).parse::<Reference>().is_err());
}

#[test]
fn parts() {
    let reference: Reference = fill("reg.io:5000/a/b:1@$D").parse().unwrap();
    assert_eq!(reference.domain(), "reg.io:5000");
    assert_eq!(reference.path(), "a/b");
    assert_eq!(reference.tag(), Some("1"));
    assert_eq!(reference.digest().unwrap().to_string(), SHA256);
    assert_eq!(reference.name(), "reg.io:5000/a/b");
    assert_eq!(
        reference.with_tag("2").unwrap().to_string(),
        "reg.io:5000/a/b:2"
    );
    assert!(matches!(
        reference.with_tag("a b"),
        Err(ReferenceError::Tag(_))
    ));
    assert_eq!(reference.repository().to_string(), "reg.io:5000/a/b");
    assert_eq!(
        reference.repository().with_default_tag().tag(),
        Some("latest")
    );
    assert_eq!(reference.clone().with_default_tag(), reference);
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
}

proptest! {
    /// Whatever is accepted is a fixed point, and safe as part of a path.
    #[test]
    fn accepted_text_is_stable(text in "[a-zA-Z0-9._:/@\\[\\]-]{0,40}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference.clone());
            prop_assert!(reference.path().split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
        }
    }

    #[test]
    fn composed_references_are_read_back(
        domain in "(localhost|[a-z0-9]{1,8}\\.[a-z]{2,3}|\\[[0-9a-f]{1,4}:[0-9a-f:]{1,8}\\])(:[0-9]{1,5})?",
        path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}){0,3}",
        tag in proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}"),
    ) {
        let mut text = format!("{domain}/{path}");
        if let Some(tag) = &tag {
            text.push_str(&format!(":{tag}"));
        }
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.domain(), domain);
        prop_assert_eq!(reference.path(), path);
        prop_assert_eq!(reference.tag(), tag.as_deref());
        prop_assert_eq!(reference.to_string(), text);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        let _ = text.parse::<Reference>();
    }
}
