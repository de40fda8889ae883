//! What `images`, `df` and `prune` make of an image in several forms, of platforms, and of fetched sources.

use crate::support::web::{File, Web};
use crate::support::{TestEnv, scenarios};

scenarios!(
    a_pushed_image_is_one_image,
    platforms_below_their_image,
    fetched_sources_are_counted_and_pruned,
);

const DOCKERFILE: &str = "FROM base\nRUN echo content > /file\n";

const LINE: &str = "{{.Repository}}:{{.Tag}} {{.ID}}";

fn list(env: &TestEnv, flags: &[&str]) -> Vec<String> {
    let all = [&["images", "--format", LINE], flags].concat();
    let mut lines: Vec<String> = env.ok(&all).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn df(env: &TestEnv, kind: &str, column: &str) -> String {
    let template = format!("{{{{.Type}}}}={{{{.{column}}}}}");
    let all = env.ok(&["df", "--format", &template]);
    let mut lines = all.lines().filter_map(|line| line.split_once('='));
    let found = lines.find(|(name, _)| *name == kind);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// A push compresses layers, which gives another manifest of the same image; building it again gives the first one.
fn a_pushed_image_is_one_image(env: &TestEnv) {
    let image = env.remote("app:1");
    env.image(&image, DOCKERFILE);
    let before = list(env, &[]);
    assert_eq!(before.len(), 2);
    let count = df(env, "Images", "TotalCount");
    for work in ["push", "build", "push"] {
        match work {
            "push" => env.ok(&["push", &image]),
            _ => {
                env.image(&image, DOCKERFILE);
                String::new()
            }
        };
        assert_eq!(list(env, &[]), before, "{work}");
        assert_eq!(list(env, &["--all"]), before, "{work}");
        assert_eq!(list(env, &["-f", "dangling=true"]).len(), 0, "{work}");
        assert_eq!(df(env, "Images", "TotalCount"), count, "{work}");
        let verbose = env.ok(&["df", "--verbose", "--format", LINE]);
        assert_eq!(verbose.lines().count(), 2, "{work}: {verbose}");
    }
    // By its ID it is the one with a name.
    let id = env.ok(&["images", "-q", &image]);
    assert_eq!(
        env.ok(&["inspect", "--format", "{{index .RepoTags 0}}", id.trim()]),
        format!("{image}\n")
    );
    env.ok(&["tag", id.trim(), "second:1"]);
    assert_eq!(list(env, &[]).len(), 3);
    env.ok(&["rmi", &image]);
    assert_eq!(list(env, &[]).len(), 2);
    let removed = env.ok(&["rmi", id.trim()]);
    assert_eq!(removed.matches("Deleted: ").count(), 1, "{removed}");
    let left = list(env, &["--all"]);
    assert!(left.len() == 1 && left[0].starts_with("base:"), "{left:?}");
}

fn platforms_below_their_image(env: &TestEnv) {
    let image = env.remote("several:1");
    let dockerfile = "FROM scratch\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCOPY Dockerfile /\n";
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    let arguments = [&platforms[..], &["--tag", &image, "--push"]].concat();
    let built = env.build(dockerfile, &arguments);
    assert!(built.status.success(), "{}", built.stderr);
    env.ok(&["pull", &image]);
    let tree = env.ok(&[
        "images",
        "--tree",
        "--format",
        "{{.Repository}} [{{.Tag}}] {{.Size}}",
    ]);
    let lines: Vec<&str> = tree.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.contains("several [1]"))
        .unwrap_or_else(|| panic!("{tree}"));
    assert!(lines[at + 1].starts_with("├─ linux/amd64 [] "), "{tree}");
    assert!(lines[at + 2].starts_with("└─ linux/arm64 [] "), "{tree}");
    // An image of one platform has nothing below it.
    let base = lines
        .iter()
        .filter(|line| line.starts_with("base [latest]"));
    assert_eq!(base.count(), 1);
    assert_eq!(lines.iter().filter(|line| line.contains('─')).count(), 2);
}

fn fetched_sources_are_counted_and_pruned(env: &TestEnv) {
    let web = Web::start();
    web.put("/tool", File::new(vec![7; 200_000]));
    let dockerfile = format!("FROM base\nADD {} /opt/\n", web.url("/tool"));
    env.image("added", &dockerfile);
    let size = || df(env, "sources", "SizeBytes").parse().unwrap_or(0_u64);
    assert_eq!(df(env, "sources", "TotalCount"), "1");
    assert!(size() >= 200_000);
    let reclaimable = df(env, "sources", "Reclaimable");
    assert!(reclaimable.ends_with("%)"), "{reclaimable}");
    // Neither images alone nor what is old take it.
    env.ok(&["image", "prune", "--force"]);
    env.ok(&["builder", "prune", "--force", "--filter", "until=1h"]);
    assert!(size() >= 200_000);
    let pruned = env.run(&["builder", "prune", "--force"]);
    assert!(pruned.stderr.contains("1 sources"), "{}", pruned.stderr);
    assert_eq!(df(env, "sources", "TotalCount"), "0");
    assert!(size() < 200_000);
    env.image("added", &format!("{dockerfile}RUN true\n"));
}
