use super::*;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The places of a name, as `host/path`, with what is special about each.
fn shown(routes: &Routes, name: &str, writes: bool) -> Vec<String> {
    let way = match routes.way(&reference(name), writes) {
        Ok(way) => way,
        Err(error) => return vec![error.to_string()],
    };
    let show = |place: &Source| {
        let mut text = format!(
            "{}{}{}",
            place.endpoint.name,
            place.endpoint.prefix.replace("/v2/", "/"),
            place.path
        );
        if place.from != PullFrom::All {
            text.push_str(&format!(" {:?}", place.from));
        }
        if let Some(namespace) = &place.namespace {
            text.push_str(&format!(" ns={namespace}"));
        }
        if let Some(tls) = place.endpoint.settings.as_ref().and_then(|own| own.tls) {
            text.push_str(&format!(" {tls:?}"));
        }
        text
    };
    way.mirrors.iter().chain([&way.origin]).map(show).collect()
}

const CONF: &str = r#"
unqualified-search-registries = ["docker.io", "quay.io"]
short-name-mode = "permissive"

[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example:5000/hub"
insecure = true
[[registry.mirror]]
location = "second.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/library/blocked"
location = "docker.io/library/blocked"
blocked = true

[[registry]]
prefix = "old.example/team"
location = "new.example/moved/team"

[[registry]]
prefix = "*.corp.example"
insecure = true

[[registry]]
prefix = "exact.corp.example"
location = "elsewhere.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"

[aliases]
"short" = "quay.io/team/short"
"gone" = ""
"#;

fn conf() -> Routes {
    let mut routes = Routes::default();
    routes.registries.add(CONF, "registries.conf").unwrap();
    routes
}

#[test]
fn rules_are_chosen_by_the_longest_prefix() {
    let routes = conf();
    let check =
        |name: &str, expect: &[&str]| assert_eq!(shown(&routes, name, false), expect, "{name}");
    check(
        "alpine",
        &[
            "mirror.example:5000/hub/library/alpine Insecure",
            "second.example/library/alpine DigestOnly",
            "tags.example/library/alpine TagOnly",
            "docker.io/library/alpine",
        ],
    );
    let refusal = "docker.io/library/blocked is blocked by the rule for `docker.io/library/blocked` in registries.conf";
    check("blocked:1", &[refusal]);
    assert_eq!(shown(&routes, "blocked", true), [refusal], "for pushes too");
    check(
        "blocked2",
        &shown(&routes, "blocked2", false)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    assert!(shown(&routes, "blocked2", false)[0].starts_with("mirror.example"));
    check("old.example/team/app:1", &["new.example/moved/team/app"]);
    check("old.example/teams/app:1", &["old.example/teams/app"]);
    check("x.corp.example/app", &["x.corp.example/app Insecure"]);
    check("corp.example/app", &["corp.example/app"]);
    check(
        "exact.corp.example/app",
        &["m.example/app DigestOnly", "elsewhere.example/app"],
    );
    check("other.example/app", &["other.example/app"]);
}

#[test]
fn writes_are_not_rewritten() {
    let routes = conf();
    assert_eq!(
        shown(&routes, "old.example/team/app", true),
        ["old.example/team/app"]
    );
    assert_eq!(shown(&routes, "alpine", true), ["docker.io/library/alpine"]);
    assert_eq!(
        shown(&routes, "x.corp.example/app", true),
        ["x.corp.example/app Insecure"]
    );
}

#[test]
fn later_files_win() {
    let mut routes = conf();
    let later = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"only.example/hub\"\n[aliases]\nshort = \"\"\n";
    routes
        .registries
        .add(later, "registries.conf.d/50.conf")
        .unwrap();
    assert_eq!(
        shown(&routes, "alpine", false),
        ["only.example/hub/library/alpine"]
    );
    assert_eq!(routes.alias("short"), None);
}

#[test]
fn aliases_and_what_is_ignored() {
    let routes = conf();
    assert_eq!(
        routes.alias("short"),
        Some(("quay.io/team/short", "registries.conf"))
    );
    assert_eq!((routes.alias("gone"), routes.alias("other")), (None, None));
    assert_eq!(
        routes.ignored(),
        [
            "unqualified-search-registries in registries.conf is not used: a name without a registry means docker.io, so that it means the same everywhere"
        ]
    );
}

#[test]
fn wrong_files_are_named() {
    let check = |text: &str, expect: &str| {
        let error = RegistriesConf::default()
            .add(text, "f.conf")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("f.conf: ") && error.contains(expect),
            "{error}"
        );
    };
    check("[[registry]]\n", "neither prefix nor location");
    check(
        "[[registry]]\nlocation = \"https://x\"\n",
        "without a scheme",
    );
    check(
        "[[registry]]\nlocation = \"x\"\n[[registry.mirror]]\n",
        "has no location",
    );
    check(
        "[[registry]]\nlocation = \"x\"\n[[registry.mirror]]\nlocation = \"m\"\npull-from-mirror = \"never\"\n",
        "all, digest-only or tag-only",
    );
    check("[registries.search]\nregistries = []\n", "before 2018");
    check("registry = 5\n", "invalid type");
    check("[[registry\n", "TOML parse error at line 1");
}

const HOSTS: &str = r#"
server = "https://registry-1.docker.io"

[host."https://z-first.example:8443"]
  capabilities = ["pull", "resolve"]
  ca = "certs/mirror.crt"
  client = [["certs/client.cert", "certs/client.key"]]
  [host."https://z-first.example:8443".header]
    x-token = "secret"

[host."http://a-second.example:5000/proxy"]
  capabilities = ["pull"]
  override_path = true

[host."https://push.example"]
  capabilities = ["pull", "resolve", "push"]
  skip_verify = true
"#;

fn hosts(text: &str) -> Result<HostsToml> {
    HostsToml::parse(text, "certs.d/docker.io/hosts.toml", &|path| {
        if path.contains("missing") {
            Err(format!("{path} is missing"))
        } else {
            Ok(path.as_bytes().to_vec())
        }
    })
}

#[test]
fn hosts_in_the_order_of_the_file() {
    let mut routes = Routes::default();
    routes
        .hosts
        .insert("docker.io".to_owned(), hosts(HOSTS).unwrap());
    assert_eq!(
        shown(&routes, "alpine", false),
        [
            "z-first.example:8443/library/alpine ns=docker.io Verify",
            "a-second.example:5000/proxy/library/alpine DigestOnly ns=docker.io Plain",
            "push.example/library/alpine ns=docker.io Insecure",
            "registry-1.docker.io/library/alpine ns=docker.io Verify",
        ]
    );
    assert_eq!(
        shown(&routes, "alpine", true),
        ["push.example/library/alpine ns=docker.io Insecure"]
    );
    assert_eq!(shown(&routes, "quay.io/a", false), ["quay.io/a"]);
    routes.default_host = Some(hosts("[host.\"cache.example\"]\n").unwrap());
    assert_eq!(
        shown(&routes, "quay.io/a", false),
        ["cache.example/a ns=quay.io Verify", "quay.io/a"]
    );
    assert_eq!(
        shown(&routes, "quay.io/a", true),
        ["quay.io/a"],
        "not pushed to unless it says so"
    );
    let way = routes.way(&reference("alpine"), false).unwrap();
    let first = way.mirrors[0].endpoint.settings.as_ref().unwrap();
    assert_eq!(first.certificate_authorities, [b"certs/mirror.crt"]);
    assert_eq!(
        first.client_certificates[0].key.expose(),
        b"certs/client.key"
    );
    assert_eq!(first.headers, [("x-token".to_owned(), "secret".to_owned())]);
}

#[test]
fn wrong_hosts_are_named() {
    let check = |text: &str, expect: &str| {
        let error = hosts(text).unwrap_err().to_string();
        assert!(
            error.contains("hosts.toml: ") && error.contains(expect),
            "{error}"
        );
    };
    check("[host.\"https://\"]\n", "is no address");
    check(
        "[host.\"https://x\"]\nca = \"missing.crt\"\n",
        "missing.crt is missing",
    );
    check(
        "[host.\"https://x\"]\nclient = 5\n",
        "pairs of a certificate and its key",
    );
    check("host = 5\n", "`host` is not a table");
    check("[host\n", "TOML parse error");
}

#[test]
fn folders_of_certificates() {
    let file = |name: &str| (name.to_owned(), name.as_bytes().to_vec());
    let read = |names: &[&str]| {
        let files: Vec<_> = names.iter().map(|name| file(name)).collect();
        let mut settings = HostOptions::default();
        read_certificates(&mut settings, &files, "certs.d/x").map(|()| settings)
    };
    let settings = read(&["a.crt", "client.cert", "client.key", "README"]).unwrap();
    assert_eq!(settings.certificate_authorities, [b"a.crt"]);
    assert_eq!(settings.client_certificates.len(), 1);
    let error = |names: &[&str]| read(names).unwrap_err().to_string();
    assert_eq!(
        error(&["c.cert"]),
        "certs.d/x/c.cert has no key: certs.d/x/c.key is missing"
    );
    assert!(error(&["c.key"]).contains("certs.d/x/c.cert is missing"));
}
