//! The rules against their own pages: the bad example of each page triggers its rule, the good one does not; and cases beyond them.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_grammar::ignore::Patterns;
use kiln_grammar::lint::{self, BaseImage, Findings, Options, RULES};
use kiln_grammar::parse;

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules")
}

/// What the pages' examples assume of base images.
fn example_base(name: &str) -> Option<BaseImage> {
    let platform = name.strip_prefix("example.com/")?;
    let platform = if platform == "arm-only" {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    Some(BaseImage {
        platform: Some(platform.to_owned()),
        ..BaseImage::default()
    })
}

fn findings(
    text: &str,
    ignore: Option<&str>,
    build_args: &[(&str, &str)],
    check: Option<&str>,
) -> Findings {
    let parsed = parse(text);
    assert!(!parsed.has_errors(), "{text}: {:#?}", parsed.diagnostics);
    let patterns = ignore.map(|text| Patterns::parse(text).unwrap());
    let platform_args = [
        ("TARGETPLATFORM", "linux/amd64"),
        ("TARGETOS", "linux"),
        ("TARGETARCH", "amd64"),
        ("BUILDPLATFORM", "linux/amd64"),
    ];
    let options = Options {
        build_args: build_args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        platform_args: platform_args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ignore: patterns.as_ref(),
        base: Some(&example_base),
        check: check.map(ToOwned::to_owned),
    };
    lint::check(&parsed.file, &options).unwrap()
}

/// Each finding as `Rule line message`.
fn shown(text: &str) -> Vec<String> {
    shown_with(text, &[], None)
}

fn shown_with(text: &str, build_args: &[(&str, &str)], check: Option<&str>) -> Vec<String> {
    let findings = findings(text, None, build_args, check);
    findings
        .warnings
        .iter()
        .map(|warning| {
            format!(
                "{} {} {}",
                warning.code,
                warning.line.unwrap(),
                warning.message
            )
        })
        .collect()
}

/// The text of the first fenced block after `marker`.
fn block<'a>(page: &'a str, marker: &str) -> Option<&'a str> {
    let after = &page[page.find(marker)? + marker.len()..];
    let start = after.find("```")?;
    let body = &after[start..];
    let body = &body[body.find('\n')? + 1..];
    Some(&body[..body.find("```")?])
}

#[test]
fn examples_of_the_pages() {
    assert_eq!(RULES.len(), 22);
    for rule in RULES {
        let page = std::fs::read_to_string(pages().join(format!("{}.md", rule.name)))
            .unwrap_or_else(|error| panic!("{}: {error}", rule.name));
        assert!(
            page.starts_with(&format!("# {}\n", rule.name)),
            "{}",
            rule.name
        );
        let ignore = block(&page, "With this `.dockerignore`:");
        let of_rule = |heading: &str| {
            let example =
                block(&page, heading).unwrap_or_else(|| panic!("{} has no {heading}", rule.name));
            let findings = findings(example, ignore, &[], None);
            findings
                .warnings
                .into_iter()
                .filter(|warning| warning.code == rule.name)
                .collect::<Vec<_>>()
        };
        assert!(
            !of_rule("## Bad").is_empty(),
            "the bad example of {} does not trigger it",
            rule.name
        );
        assert_eq!(
            of_rule("## Good"),
            [],
            "the good example of {} triggers it",
            rule.name
        );
    }
}

#[test]
fn the_index_is_fresh() {
    let path = pages().join("README.md");
    if std::env::var_os("KILN_UPDATE").is_some() {
        std::fs::write(&path, lint::index_page()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        lint::index_page(),
        "run `KILN_UPDATE=1 cargo test -p kiln-grammar --test rules`"
    );
    let mut files: Vec<String> = std::fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut expected: Vec<String> = RULES
        .iter()
        .map(|rule| format!("{}.md", rule.name))
        .chain(["README.md".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(files, expected);
}

/// File, findings.
const CASES: &[(&str, &[&str])] = &[
    (
        "FROM scratch AS BadName\n",
        &["StageNameCasing 1 Stage name 'BadName' should be lowercase"],
    ),
    (
        "FROM scratch as a\nfrom scratch AS b\n",
        &[
            "FromAsCasing 1 'as' and 'FROM' keywords' casing do not match",
            "ConsistentInstructionCasing 2 Command 'from' should match the case of the command majority (uppercase)",
            "FromAsCasing 2 'AS' and 'from' keywords' casing do not match",
        ],
    ),
    (
        "from scratch\ncopy a b\nEXPOSE 80\n",
        &[
            "ConsistentInstructionCasing 3 Command 'EXPOSE' should match the case of the command majority (lowercase)",
        ],
    ),
    (
        "FROM scratch\nCOPY a \\\n\n  b\n",
        &["NoEmptyContinuation 4 Empty continuation line"],
    ),
    (
        "FROM a AS x\nFROM b AS x\n",
        &["DuplicateStageName 2 Duplicate stage name \"x\", stage names should be unique"],
    ),
    (
        "FROM a AS scratch\n",
        &[
            "ReservedStageName 1 Stage name should not use the same name as reserved stage \"scratch\"",
        ],
    ),
    (
        "FROM a\nCMD x\n",
        &[
            "JSONArgsRecommended 2 JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ],
    ),
    ("FROM a AS b\nSHELL [\"x\"]\nFROM b\nCMD x\n", &[]),
    (
        "FROM a\nMAINTAINER me\n",
        &["MaintainerDeprecated 2 Maintainer instruction is deprecated in favor of using label"],
    ),
    (
        "ARG VERSION=1\nFROM a:${VERSIO}\n",
        &[
            "InvalidDefaultArgInFrom 2 Default value for ARG a:${VERSIO} results in empty or invalid base image name",
            "UndefinedArgInFrom 2 FROM argument 'VERSIO' is not declared (did you mean VERSION?)",
        ],
    ),
    ("ARG VERSION\nFROM a${VERSION}\n", &[]),
    (
        "FROM a\nWORKDIR b\nWORKDIR c\n",
        &[
            "WorkdirRelativePath 2 Relative workdir \"b\" can have unexpected results if the base image changes",
        ],
    ),
    ("FROM a AS x\nWORKDIR /b\nFROM x\nWORKDIR c\n", &[]),
    (
        "FROM a\nARG P=rel\nWORKDIR $P\n",
        &[
            "WorkdirRelativePath 3 Relative workdir \"rel\" can have unexpected results if the base image changes",
        ],
    ),
    (
        "FROM a\nARG VERSION=1\nRUN echo $NOPE\nCOPY a$VERSIN /\n",
        &["UndefinedVar 4 Usage of undefined variable '$VERSIN' (did you mean $VERSION?)"],
    ),
    (
        "ARG GLOBAL=1\nFROM a\nCOPY $GLOBAL /\n",
        &["UndefinedVar 3 Usage of undefined variable '$GLOBAL'"],
    ),
    ("FROM a\nARG BARE\nCOPY x$BARE /\n", &[]),
    (
        "FROM a\nENV A=$B B=1\nENV C=$B$1$@\n",
        &["UndefinedVar 2 Usage of undefined variable '$B'"],
    ),
    ("FROM a\nARG A=1 B=$A\nENV P=$PATH:$JAVA_HOME\n", &[]),
    (
        "FROM scratch\nENV P=$JAVA_HOME\n",
        &["UndefinedVar 2 Usage of undefined variable '$JAVA_HOME'"],
    ),
    (
        "FROM a\nRUN --mount=type=cache,target=/c,id=$NOPE x\nCOPY <<EOF /f\n$NOPE\nEOF\n",
        &[
            "UndefinedVar 2 Usage of undefined variable '$NOPE'",
            "UndefinedVar 3 Usage of undefined variable '$NOPE'",
        ],
    ),
    (
        "FROM a\nCMD [\"x\"]\nCMD [\"y\"]\nCMD [\"z\"]\n",
        &[
            "MultipleInstructionsDisallowed 2 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
            "MultipleInstructionsDisallowed 3 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        ],
    ),
    (
        "FROM a\nENV a b c\nLABEL x y\n",
        &[
            "LegacyKeyValueFormat 2 \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "LegacyKeyValueFormat 3 \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
        ],
    ),
    (
        "FROM --platform=$TARGETPLATFORM a\n",
        &[
            "RedundantTargetPlatform 1 Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ],
    ),
    (
        "FROM --platform=linux/amd64 a\nFROM --platform=linux/amd64 a AS tool_amd64\n",
        &[
            "FromPlatformFlagConstDisallowed 1 FROM --platform flag should not use constant value \"linux/amd64\"",
        ],
    ),
    (
        "FROM example.com/arm-only\n",
        &[
            "InvalidBaseImagePlatform 1 Base image example.com/arm-only was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build",
        ],
    ),
    (
        "FROM --platform=linux/arm64 example.com/arm-only AS x-arm64\n",
        &[],
    ),
    (
        "FROM a\nARG DB_PASSWORD\nENV API_KEY=x PUBLIC_KEY=y KEYBOARD=z\n",
        &[
            "SecretsUsedInArgOrEnv 2 Do not use ARG or ENV instructions for sensitive data (ARG \"DB_PASSWORD\")",
            "SecretsUsedInArgOrEnv 3 Do not use ARG or ENV instructions for sensitive data (ENV \"API_KEY\")",
        ],
    ),
    (
        "FROM a\nEXPOSE 80/TCP 1.2.3.4:5:6/UDP\n",
        &[
            "ExposeInvalidFormat 2 EXPOSE instruction should not define an IP address or host-port mapping, found '1.2.3.4:5:6/UDP'",
            "ExposeProtoCasing 2 Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
            "ExposeProtoCasing 2 Defined protocol '1.2.3.4:5:6/UDP' in EXPOSE instruction should be lowercase",
        ],
    ),
    // Comments that switch rules off.
    (
        "# check=skip=StageNameCasing\nFROM scratch AS BadName\nMAINTAINER x\n",
        &["MaintainerDeprecated 3 Maintainer instruction is deprecated in favor of using label"],
    ),
    (
        "# check=skip=all\nFROM scratch AS BadName\nMAINTAINER x\n",
        &[],
    ),
    (
        "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER x\nMAINTAINER y\n",
        &["MaintainerDeprecated 4 Maintainer instruction is deprecated in favor of using label"],
    ),
    (
        "FROM scratch\n# check=skip=MaintainerDeprecated\n\nMAINTAINER x\n",
        &["MaintainerDeprecated 4 Maintainer instruction is deprecated in favor of using label"],
    ),
];

#[test]
fn cases() {
    for (text, expected) in CASES {
        let mut found = shown(text);
        found.sort_by_key(|finding| {
            finding
                .split(' ')
                .nth(1)
                .and_then(|line| line.parse::<usize>().ok())
        });
        let sort = |list: &mut Vec<String>| list.sort();
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        sort(&mut found);
        sort(&mut expected);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn build_arguments_and_overrides() {
    let text = "# check=skip=all\nFROM scratch AS Bad\n";
    assert_eq!(shown_with(text, &[], Some("")).len(), 1);
    let findings = findings(
        "FROM scratch AS Bad\nMAINTAINER x\n",
        None,
        &[],
        Some("error=true"),
    );
    assert_eq!(
        findings.error().as_deref(),
        Some("lint violation found for rules: MaintainerDeprecated, StageNameCasing")
    );
    // An argument that is given needs no default.
    assert_eq!(
        shown_with("FROM a\nARG A=$NOPE\n", &[("A", "1")], None),
        Vec::<String>::new()
    );
    let parsed = parse("# check=what\nFROM scratch\n");
    let error = lint::check(&parsed.file, &Options::default()).unwrap_err();
    assert_eq!(
        error.message,
        "failed to parse check options: invalid check option \"what\""
    );
}

#[test]
fn fixes_mend_what_they_belong_to() {
    for (text, fixed) in [
        ("FROM scratch AS Bad\n", "FROM scratch AS bad\n"),
        ("FROM scratch as b\n", "FROM scratch AS b\n"),
        ("FROM a\nENV a b c\n", "FROM a\nENV a=\"b c\"\n"),
        (
            "FROM a\nMAINTAINER me <x@y>\n",
            "FROM a\nLABEL org.opencontainers.image.authors=\"me <x@y>\"\n",
        ),
        ("FROM a\nEXPOSE 80/TCP\n", "FROM a\nEXPOSE 80/tcp\n"),
        ("FROM a\nEXPOSE 80:81\n", "FROM a\nEXPOSE 81\n"),
        ("FROM a\nrun x\nRUN y\n", "FROM a\nRUN x\nRUN y\n"),
    ] {
        let findings = findings(text, None, &[], None);
        let fix = findings.warnings[0].fix.clone().unwrap();
        let mut mended = text.to_owned();
        mended.replace_range(fix.span.start..fix.span.end, &fix.replacement);
        assert_eq!(mended, fixed);
        assert_eq!(shown(&mended), Vec::<String>::new(), "{mended}");
    }
}
