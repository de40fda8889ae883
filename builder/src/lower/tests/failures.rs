//! What is refused, in BuildKit's words.

use super::*;

#[test]
fn messages() {
    let deep = format!("FROM debian\nWORKDIR {}\n", "a/".repeat(3000));
    for (text, expected) in [
        (
            deep.as_str(),
            "the working directory has 6004 bytes: the kernel takes paths of at most 4095",
        ),
        ("FROM debian\nCOPY --from=7 / /\n", "invalid stage index 7"),
        (
            "FROM debian AS a\nCOPY --from=b / /\nFROM debian AS b\nCOPY --from=a / /\n",
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
        ),
        ("FROM $NOPE\n", "base name ($NOPE) should not be blank"),
        (
            "FROM --platform=$NOPE debian\n",
            "empty platform value from expression $NOPE",
        ),
        (
            "FROM debian AS Base\nFROM Base\n",
            "failed to parse stage name \"Base\": invalid reference format: repository name (library/Base) must be lowercase",
        ),
        (
            "FROM nope\n",
            "failed to resolve source metadata for docker.io/library/nope:latest: docker.io/library/nope: not found",
        ),
        ("FROM debian\nSTOPSIGNAL NOPE\n", "invalid signal: NOPE"),
        ("FROM debian\nEXPOSE 80/icmp\n", "invalid proto: icmp"),
        (
            "FROM debian\nVOLUME $NOPE\n",
            "VOLUME specified can not be an empty string",
        ),
        (
            "FROM debian\nENV a=${b?gone}\n",
            "failed to process \"${b?gone}\": b: gone",
        ),
        (
            "FROM debian\nRUN --network=host x\n",
            "network.host is not allowed",
        ),
        (
            "FROM debian\nRUN --security=insecure x\n",
            "security.insecure is not allowed",
        ),
        (
            "FROM debian\nRUN --device=v.com/gpu=all,required x\n",
            "device v.com/gpu=all is not available: kiln gives no devices to steps",
        ),
        (
            "FROM debian\nRUN --device=a,b x\n",
            "invalid field 'b' must be a key=value pair",
        ),
        (
            "FROM debian\nCOPY https://example.org/x /\n",
            "source can't be a URL for COPY",
        ),
        (
            "FROM debian\nCOPY --chmod=999 a /\n",
            "invalid chmod parameter: '999'. it should be octal string and between 0 and 07777",
        ),
        (
            "FROM debian\nADD --checksum=sha256:00 a b /c/\n",
            "checksum can't be specified for multiple sources",
        ),
        (
            "FROM debian\nADD --checksum=md5:00 https://example.org/x /\n",
            "invalid checksum md5:00: unsupported digest algorithm in \"md5:00\": use sha256, sha384 or sha512",
        ),
        (
            "FROM debian\nADD https://example.org/x.git#a..b /\n",
            "invalid git ref \"a..b\"",
        ),
        (
            "FROM debian\nADD --checksum=0123 https://example.org/x.git /\n",
            "invalid checksum \"0123\": at least 7 hexadecimal digits of a commit are needed",
        ),
        (
            "ARG SOURCE_DATE_EPOCH=x\nFROM bare\n",
            "invalid SOURCE_DATE_EPOCH: x",
        ),
    ] {
        assert_eq!(
            try_lower(&request(text)).err().as_deref(),
            Some(expected),
            "{text}"
        );
    }
}

#[test]
fn unknown_targets_name_what_is_near() {
    let mut request = request("FROM debian AS build\nFROM debian\n");
    request.target = Some("buld".to_owned());
    assert_eq!(
        try_lower(&request).err().as_deref(),
        Some("target stage \"buld\" could not be found (did you mean build?)")
    );
}

#[test]
fn a_broken_trigger_points_at_the_base() {
    let request = request("FROM bare AS x\nFROM badtrigger\n");
    let file = kiln_grammar::parse(&request.dockerfile)
        .into_result()
        .expect("the file itself is fine");
    let faults = lower(&file, &request, &[], &Scripted).expect_err("the trigger is broken");
    assert!(
        faults[0]
            .message
            .starts_with("failed to parse the base image's ONBUILD trigger"),
        "{}",
        faults[0].message
    );
    assert_eq!(faults[0].span().of(&request.dockerfile), "FROM badtrigger");
}

#[test]
fn a_device_that_is_not_required_is_only_a_warning() {
    let graph = lowered("FROM debian\nRUN --device=v.com/gpu=all x\n");
    let messages: Vec<&str> = graph
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(
        messages,
        ["device v.com/gpu=all is not available: kiln gives no devices to steps"]
    );
}
