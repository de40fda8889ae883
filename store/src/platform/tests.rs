//! Normal forms, what is refused, and the best choice of an index.

use super::*;

#[test]
fn normalised() {
    let check = |text: &str, expected: &str| {
        let platform: Platform = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(platform.to_string(), expected, "{text}");
        assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform);
    };
    check("linux/amd64", "linux/amd64");
    check("linux/x86_64", "linux/amd64");
    check("linux/x86-64", "linux/amd64");
    check("Linux/AMD64", "linux/amd64");
    check("linux/amd64/v1", "linux/amd64");
    check("linux/amd64/v3", "linux/amd64/v3");
    check("linux/i386", "linux/386");
    check("linux/386", "linux/386");
    check("linux/arm64", "linux/arm64");
    check("linux/arm64/v8", "linux/arm64");
    check("linux/arm64/8", "linux/arm64");
    check("linux/aarch64", "linux/arm64");
    check("linux/arm64/9", "linux/arm64/v9");
    check("linux/arm", "linux/arm/v7");
    check("linux/arm/7", "linux/arm/v7");
    check("linux/arm/v6", "linux/arm/v6");
    check("linux/arm/5", "linux/arm/v5");
    check("linux/armhf", "linux/arm/v7");
    check("linux/armel", "linux/arm/v6");
    check("linux/ppc64le", "linux/ppc64le");
    check("linux/s390x", "linux/s390x");
    check("linux/riscv64", "linux/riscv64");
    check("arm64", "linux/arm64");
    check("armhf", "linux/arm/v7");
    check("macos/arm64", "darwin/arm64");
    check("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64");
    check("wasip1/wasm", "wasip1/wasm");
    assert_eq!("linux".parse::<Platform>().unwrap().os, "linux");
}

#[test]
fn refused() {
    for text in [
        "",
        "/",
        "linux/",
        "/amd64",
        "linux//v7",
        "linux/arm/v7/x",
        "potato",
        "linux/am d64",
        "windows(/amd64",
        "lin*",
    ] {
        let error = text.parse::<Platform>().unwrap_err().to_string();
        assert!(error.contains("linux/arm64"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn normal_forms_are_stable(os in "[a-zA-Z0-9]{1,8}", architecture in "[a-zA-Z0-9_]{1,8}", variant in proptest::option::of("[v0-9.]{1,4}")) {
        let platform = Platform::new(&os, &architecture, variant.as_deref());
        proptest::prop_assert_eq!(platform.clone().normalized(), platform.clone());
        proptest::prop_assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform.clone());
        proptest::prop_assert_eq!(platform.best_match([&platform]), Some(0));
    }
}

#[test]
fn best() {
    let check = |wanted: &str, offered: &[&str], expected: Option<&str>| {
        let offered: Vec<Platform> = offered.iter().map(|text| text.parse().unwrap()).collect();
        let found = wanted.parse::<Platform>().unwrap().best_match(&offered);
        let expected = expected.map(|text| text.parse::<Platform>().unwrap());
        assert_eq!(
            found.map(|position| offered[position].clone()),
            expected,
            "{wanted}"
        );
    };
    check(
        "linux/amd64",
        &["linux/arm64", "linux/amd64"],
        Some("linux/amd64"),
    );
    check(
        "linux/amd64",
        &["linux/386", "linux/amd64"],
        Some("linux/amd64"),
    );
    check("linux/amd64", &["linux/386"], Some("linux/386"));
    check("linux/amd64", &["linux/amd64/v2"], None);
    check(
        "linux/amd64/v3",
        &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
        Some("linux/amd64/v2"),
    );
    check("linux/amd64/v3", &["linux/amd64"], Some("linux/amd64"));
    check(
        "linux/arm64",
        &["linux/arm/v6", "linux/arm/v7"],
        Some("linux/arm/v7"),
    );
    check("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64"));
    check("linux/arm64/v9", &["linux/arm64"], Some("linux/arm64"));
    check(
        "linux/arm/v7",
        &["linux/arm/v5", "linux/arm/v6", "linux/arm64"],
        Some("linux/arm/v6"),
    );
    check("linux/arm/v6", &["linux/arm/v7"], None);
    check("linux/amd64", &["windows/amd64"], None);
    check("linux/amd64", &[], None);
    check(
        "windows(10.0.17763)/amd64",
        &["windows(10.0.20348.1)/amd64", "windows(10.0.17763.5)/amd64"],
        Some("windows(10.0.17763.5)/amd64"),
    );
}
