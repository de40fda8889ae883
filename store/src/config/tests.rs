//! Fixed bytes, what Go writes, and fields that nobody knows yet.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A configuration with every field that kiln knows, in the order in which it is written.
const FULL: &str = concat!(
    r#"{"created":"2026-01-02T03:04:05.678Z","author":"me","architecture":"arm64","os":"linux","os.version":"1","os.features":["x"],"#,
    r#""variant":"v8","config":{"User":"1000:1000","ExposedPorts":{"443/tcp":{},"80/tcp":{}},"Env":["PATH=/bin","A=b"],"#,
    r#""Entrypoint":["/init"],"Cmd":[],"Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":{"a":"1","b":"2"},"#,
    r#""StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"Timeout":2,"StartPeriod":3,"#,
    r#""StartInterval":4,"Retries":5},"Shell":["/bin/bash","-c"],"OnBuild":["RUN x"],"ArgsEscaped":true},"#,
    r#""rootfs":{"type":"layers","diff_ids":["sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"]},"#,
    r#""history":[{"created":"2026-01-02T03:04:05Z","created_by":"RUN x","author":"me","comment":"c"},"#,
    r#"{"created_by":"ENV y","empty_layer":true}]}"#
);

fn again(text: &str) -> String {
    let config: ImageConfig = serde_json::from_str(text).unwrap();
    String::from_utf8(config.to_bytes().unwrap()).unwrap()
}

#[test]
fn bytes_are_fixed() {
    assert_eq!(again(FULL), FULL);
    let new = ImageConfig::new(&Platform::new("linux", "arm64", None));
    let text = String::from_utf8(new.to_bytes().unwrap()).unwrap();
    let expected = r#"{"architecture":"arm64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
    assert_eq!(text, expected);
    assert_eq!(new.platform(), Platform::new("linux", "arm64", None));
}

#[test]
fn nulls_of_go_are_read() {
    let text = r#"{"os":"linux","config":null,"rootfs":null,"history":null}"#;
    let config: ImageConfig = serde_json::from_str(text).unwrap();
    assert!(config.diff_ids().is_empty() && config.history.is_empty());
    let text = r#"{"config":{"User":null,"ExposedPorts":null,"Env":null,"Entrypoint":null,"Cmd":null,"Volumes":null,
        "WorkingDir":null,"Labels":null,"OnBuild":null,"ArgsEscaped":null,"Healthcheck":{"Test":null}},
        "rootfs":{"type":"layers","diff_ids":null}}"#;
    let config: ImageConfig = serde_json::from_str(text).unwrap();
    let container = ContainerConfig {
        healthcheck: Some(Healthcheck::default()),
        ..Default::default()
    };
    assert_eq!(config.config, container);
    assert_eq!(config.os, "");
}

proptest! {
    /// Unknown fields at any level are written as they were read.
    #[test]
    fn unknown_fields_survive(
        place in prop::sample::select(vec!["", "/config", "/config/Healthcheck", "/rootfs", "/history/0", "/history/1"]),
        name in "x[a-z.]{1,8}",
        value in prop_oneof![
            Just(json!(null)),
            any::<i64>().prop_map(|number| json!(number)),
            any::<u64>().prop_map(|number| json!(number)),
            "\\PC{0,12}".prop_map(|text| json!(text)),
            prop::collection::vec(any::<bool>(), 0..3).prop_map(|list| json!({ "list": list })),
        ],
    ) {
        let mut config: Value = serde_json::from_str(FULL).unwrap();
        config.pointer_mut(place).unwrap()[name] = value;
        let written: Value = serde_json::from_str(&again(&config.to_string())).unwrap();
        prop_assert_eq!(written, config);
    }
}
