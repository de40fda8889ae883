//! What `prune` takes, in all its forms, and that the same commands work afterwards.

use crate::support::{TestEnv, scenarios};

scenarios!(
    takes_what_nothing_uses,
    filters,
    keeps_within_a_size,
    takes_containers_and_volumes_when_asked,
);

const DOCKERFILE: &str = "\
FROM base
LABEL kind=app
RUN head -c 2000000 /dev/urandom > /large
";

fn count(env: &TestEnv, kind: &str) -> usize {
    let template = "{{.Type}}={{.TotalCount}}";
    let all = env.ok(&["df", "--format", template]);
    let mut lines = all.lines().filter_map(|line| line.split_once('='));
    let (_, count) = lines.find(|(name, _)| *name == kind).unwrap();
    count.parse().unwrap()
}

fn images(env: &TestEnv) -> usize {
    env.ok(&["images", "-q"]).lines().count()
}

fn takes_what_nothing_uses(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    env.image("app:1", &DOCKERFILE.replace("kind=app", "kind=other"));
    assert_eq!(images(env), 3);
    let forecast = env.ok(&["prune", "--dry-run"]);
    assert!(forecast.contains("Total reclaimable space: "), "{forecast}");
    assert_eq!(images(env), 3, "a dry run takes nothing");
    let pruned = env.run(&["image", "prune", "--force"]);
    let (stdout, stderr) = (&pruned.stdout, &pruned.stderr);
    assert!(stdout.contains("Total reclaimed space: "), "{stdout}");
    assert!(stderr.contains("1 images, 0 cache records"), "{stderr}");
    assert_eq!(images(env), 2);
    let records = count(env, "Build Cache");
    assert!(records > 0);
    // Records of layers that images have stay, unless all are to go.
    env.ok(&["builder", "prune", "-f"]);
    assert!(count(env, "Build Cache") > 0);
    env.ok(&["builder", "prune", "-af"]);
    assert_eq!(count(env, "Build Cache"), 0);
    assert_eq!(env.output_of("app:1", "wc -c < /large"), "2000000\n");
    env.ok(&["create", "--name", "user", "app:1"]);
    env.ok(&["prune", "--all", "--force"]);
    let left = env.ok(&["images", "--format", "{{.Repository}}"]);
    assert_eq!(
        left, "",
        "no name is in use; what the container needs stays all the same"
    );
    env.ok(&["start", "--attach", "user"]);
    env.ok(&["rm", "user"]);
    env.ok(&["prune", "-a", "-f"]);
    let total = env.ok(&["df", "--format", "{{.Type}}={{.SizeBytes}}"]);
    for empty in ["Images=0", "Build Cache=0", "Unused=0"] {
        assert!(total.lines().any(|line| line == empty), "{total}");
    }
}

fn filters(env: &TestEnv) {
    env.image("app:1", DOCKERFILE);
    let all = ["prune", "--all", "--force", "--filter"];
    let with = |filter: &'static str| [&all[..], &[filter]].concat();
    env.ok(&with("until=24h"));
    env.ok(&with("label=kind=other"));
    assert_eq!(images(env), 2);
    env.ok(&with("label!=kind=app"));
    assert_eq!(env.ok(&["images", "--format", "{{.Repository}}"]), "app\n");
    env.ok(&["image", "prune", "-a", "-f", "--filter", "label=kind"]);
    assert_eq!(images(env), 0);
    for wrong in ["until=yesterday", "kind=app", "label"] {
        let message = env.fails(&with(wrong));
        assert!(message.contains("error: "), "{message}");
    }
    env.fails(&["builder", "prune", "--filter", "label=x"]);
}

fn keeps_within_a_size(env: &TestEnv) {
    let image = env.remote("app:1");
    env.image(&image, DOCKERFILE);
    env.ok(&["push", &image]);
    for number in 0..3 {
        let dockerfile = DOCKERFILE.replace("kind=app", &format!("kind={number}"));
        env.image(
            "cached",
            &format!("{dockerfile}RUN echo {number} && head -c 1000000 /dev/urandom > /more\n"),
        );
    }
    env.ok(&["rmi", "cached"]);
    let before = count(env, "Build Cache");
    env.ok(&["prune", "--max-used-space", "1t"]);
    assert_eq!(count(env, "Build Cache"), before);
    env.ok(&["builder", "prune", "--keep-storage", "2mb"]);
    let kept = count(env, "Build Cache");
    assert!(0 < kept && kept < before, "{kept} of {before}");
    // What the registry has goes, the image stays and still runs; pushing it again needs nothing that is gone.
    env.ok(&["prune", "--max-used-space", "1"]);
    assert_eq!(count(env, "Build Cache"), 0);
    assert_eq!(env.output_of(&image, "wc -c < /large"), "2000000\n");
    env.ok(&["push", &image]);
    env.ok(&["verify"]);
    env.ok(&["prune", "--min-free-space", "1"]);
    env.ok(&["run", "--rm", &image, "true"]);
    env.ok(&["prune", "--all", "--max-used-space", "0"]);
    assert_eq!(images(env), 0);
    let wrong = env.fails(&["prune", "--max-used-space", "much"]);
    assert!(wrong.contains("`much` is no size"), "{wrong}");
}

fn takes_containers_and_volumes_when_asked(env: &TestEnv) {
    env.ok(&[
        "create", "--name", "idle", "--label", "keep=no", "-v", "/data", "base",
    ]);
    env.ok(&[
        "run",
        "-d",
        "--name",
        "busy",
        "-v",
        "named:/data",
        "base",
        "sleep",
        "600",
    ]);
    env.ok(&["prune", "--force"]);
    env.ok(&["system", "prune", "--force", "--filter", "until=24h"]);
    env.ok(&["system", "prune", "--force", "--filter", "label=keep=yes"]);
    env.ok(&["system", "prune", "--force", "--dry-run"]);
    env.ok(&["inspect", "idle"]);
    let pruned = env.ok(&["system", "prune", "--force", "--volumes"]);
    assert!(pruned.contains("Deleted container: "), "{pruned}");
    assert!(pruned.contains("Deleted volume: "), "{pruned}");
    env.fails(&["inspect", "idle"]);
    env.ok(&["exec", "busy", "test", "-d", "/data"]);
    assert_eq!(count(env, "Local Volumes"), 1);
    env.ok(&["rm", "-f", "busy"]);
}
