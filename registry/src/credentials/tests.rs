//! Look-ups and edits on texts as people have them.

use super::*;

const DOCKER: &str = r#"{
  "auths": {
    "https://index.docker.io/v1/": {"auth": "aHViOnBhc3M6d29yZA=="},
    "quay.io": {"auth": "cXVheTpob3N0"},
    "quay.io/team": {"auth": "cXVheTp0ZWFt"},
    "quay.io/team/app": {"username": "quay", "password": "app"},
    "azure.example": {"auth": "MDAwMDo=", "identitytoken": "refresh"},
    "raw.example": {"registrytoken": "bearer"},
    "kept.example": {}
  },
  "credHelpers": {"ecr.example": "ecr-login", "quiet.example": ""},
  "HttpHeaders": {"User-Agent": "x"}
}"#;

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

fn docker() -> AuthFile {
    AuthFile::parse(DOCKER, "config.json").unwrap()
}

#[test]
fn files_are_searched_by_path() {
    let credentials = Credentials::new(vec![docker()], None);
    let find = |registry: &str, repository: &str| {
        credentials
            .find(registry, repository)
            .unwrap()
            .map(|found| found.credential)
    };
    assert_eq!(
        find("docker.io", "library/debian"),
        Some(basic("hub", "pass:word"))
    );
    assert_eq!(find("quay.io", "other/app"), Some(basic("quay", "host")));
    assert_eq!(find("quay.io", "team/thing"), Some(basic("quay", "team")));
    assert_eq!(find("quay.io", "team/app"), Some(basic("quay", "app")));
    assert_eq!(find("quay.io", "teamwork"), Some(basic("quay", "host")));
    assert_eq!(
        find("azure.example", "x"),
        Some(Credential::Identity {
            username: "0000".to_owned(),
            token: Secret::new("refresh")
        })
    );
    assert_eq!(
        find("raw.example", "x"),
        Some(Credential::Registry(Secret::new("bearer")))
    );
    assert_eq!(find("kept.example", "x"), None);
    assert_eq!(find("unknown.example", "x"), None);
    let found = credentials.find("quay.io", "team/app").unwrap().unwrap();
    assert_eq!(found.origin, "config.json (quay.io/team/app)");
    assert!(!format!("{found:?}").contains("app\")"));
}

#[test]
fn given_credentials_win_and_stay_with_their_registry() {
    let credentials = Credentials::new(vec![docker()], None);
    let kept = credentials.clone();
    let given = credentials.with_given("quay.io", basic("me", "now"));
    assert_eq!(
        given
            .find("quay.io", "team/app")
            .unwrap()
            .unwrap()
            .credential,
        basic("me", "now")
    );
    assert_eq!(
        given.find("docker.io", "x").unwrap().unwrap().credential,
        basic("hub", "pass:word")
    );
    assert_eq!(
        kept.find("quay.io", "z").unwrap().unwrap().credential,
        basic("quay", "host")
    );
}

#[test]
fn helpers_are_asked_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let run = |request: &HelperRequest<'_>| {
        CALLS.fetch_add(1, Ordering::SeqCst);
        assert_eq!((request.helper, request.verb), ("ecr-login", "get"));
        assert_eq!(request.input, "ecr.example");
        Ok(HelperOutput {
            success: true,
            stdout: r#"{"ServerURL":"x","Username":"AWS","Secret":"s"}"#.to_owned(),
            stderr: String::new(),
        })
    };
    let credentials = Credentials::new(vec![docker()], Some(Box::new(run)));
    for _ in 0..3 {
        let found = credentials.find("ecr.example", "a").unwrap().unwrap();
        assert_eq!(found.credential, basic("AWS", "s"));
        assert_eq!(found.origin, "docker-credential-ecr-login (ecr.example)");
    }
    assert_eq!(credentials.find("quiet.example", "a").unwrap(), None);
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
}

#[test]
fn what_helpers_answer() {
    let with = |output: HelperOutput| {
        let file = AuthFile::parse(
            r#"{"credsStore":"pass","auths":{"docker.io":{"auth":"YTpi"}}}"#,
            "f",
        )
        .unwrap();
        let run = move |request: &HelperRequest<'_>| {
            assert_eq!(request.input, HUB_KEY);
            Ok(output.clone())
        };
        Credentials::new(vec![file], Some(Box::new(run))).find("docker.io", "x")
    };
    let answer = |success: bool, text: &str| HelperOutput {
        success,
        stdout: text.to_owned(),
        stderr: String::new(),
    };
    let token = with(answer(
        true,
        r#"{"ServerURL":"","Username":"<token>","Secret":"t"}"#,
    ))
    .unwrap()
    .unwrap()
    .credential;
    assert_eq!(
        token,
        Credential::Identity {
            username: String::new(),
            token: Secret::new("t")
        }
    );
    // Not found: the file's own entry is the next choice.
    assert_eq!(
        with(answer(false, "credentials not found in native keychain\n"))
            .unwrap()
            .unwrap()
            .credential,
        basic("a", "b")
    );
    let error = with(answer(false, "pass is not initialised"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "credentials: docker-credential-pass get failed: pass is not initialised"
    );
    assert!(with(answer(true, "nonsense")).is_err());
}

#[test]
fn helper_names_cannot_leave_their_program() {
    let file = AuthFile::parse(r#"{"credsStore":"x/../../evil"}"#, "f").unwrap();
    let run = |_: &HelperRequest<'_>| -> Result<HelperOutput, String> { panic!("must not run") };
    assert!(
        Credentials::new(vec![file], Some(Box::new(run)))
            .find("a.example", "b")
            .is_err()
    );
}

#[test]
fn files_that_are_wrong() {
    assert!(AuthFile::parse("  ", "f").is_ok());
    assert!(AuthFile::parse("{}", "f").is_ok());
    assert!(AuthFile::parse(r#"{"auths":null}"#, "f").is_ok());
    assert!(
        AuthFile::parse("[", "f")
            .unwrap_err()
            .to_string()
            .starts_with("credentials: f is not valid")
    );
    let error = AuthFile::parse(r#"{"auths":{"h":{"auth":"%%%"}}}"#, "f")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the entry for h"), "{error}");
    assert!(!error.contains("%%%"));
}

#[test]
fn entries_are_written_and_removed() {
    let text = set_auth(DOCKER, "f", "docker.io", &basic("new", "pw")).unwrap();
    let file = AuthFile::parse(&text, "f").unwrap();
    assert_eq!(file.entry("docker.io"), Some(&basic("new", "pw")));
    assert!(
        text.contains(r#""User-Agent": "x""#),
        "foreign settings stay: {text}"
    );
    assert_eq!(text.matches("docker.io").count(), 1);
    let (text, removed) = remove_auth(&text, "f", "index.docker.io").unwrap();
    assert!(removed);
    assert!(!text.contains("docker.io"));
    assert!(!remove_auth(&text, "f", "docker.io").unwrap().1);
    let identity = Credential::Identity {
        username: "u".to_owned(),
        token: Secret::new("t"),
    };
    let text = set_auth("", "f", "host:5000", &identity).unwrap();
    assert_eq!(
        AuthFile::parse(&text, "f").unwrap().entry("host:5000"),
        Some(&identity)
    );
    assert!(set_auth("{}", "f", "h", &basic("a:b", "c")).is_err());
}
