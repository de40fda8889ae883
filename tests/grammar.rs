//! `kiln check`, `kiln build --check` and `kiln debug`, driven as users and scripts drive them, on all Dockerfiles of the fixtures.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs kiln with a store of its own, so that nothing of this machine plays a part.
fn kiln(directory: &Path, arguments: &[&str]) -> Output {
    kiln_with(directory, &directory.join("no-store"), arguments)
}

fn kiln_with(directory: &Path, store: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments)
        .current_dir(directory)
        .env("KILN_ROOT", store)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dockerfiles");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn is_mistake(case: &Path) -> bool {
    case.file_name()
        .unwrap()
        .to_string_lossy()
        .starts_with("mistake-")
}

/// A folder with this Dockerfile.
fn with_dockerfile(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Dockerfile"), text).unwrap();
    directory
}

#[test]
fn trees_of_all_fixtures() {
    for case in fixtures() {
        let output = kiln(&case, &["debug", "ast", "Dockerfile"]);
        let expected: Value =
            serde_json::from_slice(&fs::read(case.join("ast.json")).unwrap()).unwrap();
        let actual: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(actual, expected, "{}", case.display());
        let code = i32::from(is_mistake(&case));
        assert_eq!(output.status.code(), Some(code), "{}", case.display());
    }
}

#[test]
fn checks_of_all_fixtures() {
    for case in fixtures() {
        let json = kiln(&case, &["check", "--format", "json"]);
        let report: Value = serde_json::from_str(stdout(&json)).unwrap();
        let errors = report["errors"].as_array().unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(!errors.is_empty(), is_mistake(&case), "{}", case.display());
        let findings = errors.len() + warnings.len();
        let code = i32::from(findings > 0);
        assert_eq!(json.status.code(), Some(code), "{}", case.display());
        for finding in errors.iter().chain(warnings) {
            assert!(finding["rule"].is_string() && finding["message"].is_string());
            assert!(finding["line"].as_u64().is_some_and(|line| line > 0));
        }
        assert!(warnings.iter().all(|warning| warning["url"].is_string()));
        let sarif = kiln(&case, &["check", "--format=sarif", "."]);
        let log: Value = serde_json::from_str(stdout(&sarif)).unwrap();
        assert_eq!(
            log["runs"][0]["results"].as_array().unwrap().len(),
            findings
        );
        let text = kiln(&case, &["check"]);
        assert_eq!(text.status.code(), Some(code), "{}", case.display());
        assert!(!case.join("no-store").exists(), "a check makes no store");
    }
}

#[test]
fn a_mistake_as_people_see_it() {
    let directory = with_dockerfile("FROM scratch\nCOPPY a \\\n  b\n");
    let output = kiln(directory.path(), &["build", "--check", "."]);
    assert_eq!(output.status.code(), Some(1));
    for part in [
        "error[K0002]: unknown instruction: COPPY (did you mean COPY?)",
        "--> ./Dockerfile:2:1",
        "2 | COPPY a \\",
        "  | ^^^^^",
        "help: write COPY",
        // What scripts that were written for BuildKit look for.
        "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)",
    ] {
        assert!(
            stdout(&output).contains(part),
            "{part}: {}",
            stdout(&output)
        );
    }
    // Findings are the answer, their number is talk.
    assert_eq!(stderr(&output).trim(), "1 error");
    let output = kiln(directory.path(), &["build", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).is_empty());
    assert!(stderr(&output).contains("dockerfile parse error on line 2: unknown instruction"));
}

#[test]
fn files_in_another_language() {
    let directory = with_dockerfile("# syntax=example.com/other:1\nANYTHING goes\n");
    let path = directory.path();
    let message = "syntax asks for the frontend example.com/other:1; kiln reads the language of docker/dockerfile only";
    let output = kiln(path, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(message), "{}", stdout(&output));
    assert!(stdout(&output).contains("--> ./Dockerfile:1:1"));
    assert!(
        !stdout(&output).contains("ANYTHING"),
        "it is not for us to judge"
    );
    let output = kiln(path, &["build", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    let built_in = [
        "check",
        "--format=json",
        "--build-arg=BUILDKIT_SYNTAX=dockerfile.v0",
    ];
    let output = kiln(path, &built_in);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(
        report["errors"][0]["parse_error"],
        "dockerfile parse error on line 2: unknown instruction: ANYTHING"
    );
    fs::write(
        path.join("Dockerfile"),
        "# syntax=mirror.example.com/docker/dockerfile:1-labs\nFROM scratch\nCOPY a /\n",
    )
    .unwrap();
    assert_eq!(kiln(path, &["check"]).status.code(), Some(0));
}

/// What is known of base images comes from the store; a build shows warnings at its end and succeeds.
#[test]
fn base_images_and_the_warnings_of_a_build() {
    let base = with_dockerfile(
        "FROM scratch\nCOPY Dockerfile /\nENV OWN=1\nSHELL [\"/bin/sh\", \"-c\"]\n",
    );
    let output = kiln(base.path(), &["build", "-t", "base", "."]);
    if !output.status.success() {
        println!("skipped: needs to build: {}", stderr(&output));
        return;
    }
    let store = base.path().join("no-store");
    let child = with_dockerfile("FROM base\nENV A=$OWN B=$OTHER\nCMD run\n");
    let rules = |store: &Path, arguments: &[&str]| -> Vec<String> {
        let arguments = [&["check", "--format=json"], arguments].concat();
        let output = kiln_with(child.path(), store, &arguments);
        let report: Value = serde_json::from_str(stdout(&output)).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        let name = |warning: &Value| warning["rule"].as_str().unwrap().to_owned();
        warnings.iter().map(name).collect()
    };
    let nowhere = child.path().join("no-store");
    assert_eq!(
        rules(&nowhere, &[]),
        ["UndefinedVar", "UndefinedVar", "JSONArgsRecommended"]
    );
    assert_eq!(rules(&store, &[]), ["UndefinedVar"]);
    assert_eq!(
        rules(&store, &["--platform=linux/s390x"]),
        ["InvalidBaseImagePlatform", "UndefinedVar"]
    );
    let output = kiln_with(child.path(), &store, &["build", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reminder = "1 warning (`kiln check` shows the places):\n - UndefinedVar: Usage of undefined variable '$OTHER' (line 2)";
    assert!(stderr(&output).contains(reminder), "{}", stderr(&output));
    let argument = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=error=true";
    let output = kiln_with(child.path(), &store, &["build", argument, "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lint violation found for rules: UndefinedVar"));
    assert!(stdout(&output).is_empty(), "{}", stdout(&output));
}

#[test]
fn check_comments_and_arguments() {
    let directory = with_dockerfile("# check=error=true\nFROM scratch AS Bad\nCOPY x /\n");
    let path = directory.path();
    let output = kiln(path, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lint violation found for rules: StageNameCasing"));
    let argument = "BUILDKIT_DOCKERFILE_CHECK=skip=StageNameCasing";
    let output = kiln(path, &["check", "--build-arg", argument]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = kiln(path, &["build", "--call=check,format=json", "."]);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["warnings"][0]["rule"], "StageNameCasing");
    fs::write(path.join(".dockerignore"), "x\n").unwrap();
    let output = kiln(path, &["check", "--format=json"]);
    assert!(stdout(&output).contains("CopyIgnoredFile"));
    let output = kiln(path, &["check", "--format=xml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn expansion_words_and_ignore_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let shown = |arguments: &[&str]| {
        let output = kiln(path, arguments);
        (output.status.code().unwrap(), stdout(&output).to_owned())
    };
    assert_eq!(
        shown(&["debug", "expand", "-e", "A=1", "${A:+x}$B'$A'"]),
        (0, "x$A\n".to_owned())
    );
    assert_eq!(
        shown(&["debug", "expand", "--escape", "`", "--", "-`$A"]),
        (0, "-$A\n".to_owned())
    );
    assert_eq!(shown(&["debug", "expand", "${A"]), (1, String::new()));
    assert_eq!(
        shown(&["debug", "words", "-e", "A=x y", "$A \"z w\""]),
        (0, "[\"x\",\"y\",\"z w\"]\n".to_owned())
    );
    fs::write(path.join("patterns"), "*\n!a/b\n").unwrap();
    assert_eq!(
        shown(&["debug", "ignore", "patterns", "a/b", "./a/c", "d"]),
        (0, "kept a/b\nignored ./a/c\nignored d\n".to_owned())
    );
    fs::write(path.join("patterns"), "a[\n").unwrap();
    assert_eq!(shown(&["debug", "ignore", "patterns", "a"]).0, 1);
}

#[test]
fn outline_and_targets() {
    let directory = with_dockerfile(
        "# V is the version\nARG V=1\n# base is first\nFROM a:$V AS base\nFROM base AS last\nRUN --mount=type=secret,id=s,required true\n",
    );
    let output = kiln(directory.path(), &["build", "--call", "targets", "."]);
    assert!(stdout(&output).contains("last (default)") && stdout(&output).contains("is first"));
    let output = kiln(
        directory.path(),
        &["build", "--call=outline,format=json", "--target=last", "."],
    );
    let outline: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(outline["args"][0]["value"], "1");
    assert_eq!(outline["secrets"][0]["required"], true);
    let output = kiln(
        directory.path(),
        &["build", "--call", "outline", "--target=x", "."],
    );
    assert!(stderr(&output).contains("target stage \"x\" could not be found"));
    assert_eq!(output.status.code(), Some(1));
}
