//! Builds that may not take what they know: `--no-cache`, `--pull`, and a cache that lost something.

use crate::support::{TestEnv, scenarios};

scenarios!(
    nothing_or_one_stage_is_taken_from_the_cache,
    newer_bases_are_asked_for,
    a_lost_layer_is_made_again,
);

const RANDOM: &str = "\
FROM base AS one
RUN head -c 8 /dev/urandom > /random
FROM base AS two
RUN head -c 8 /dev/urandom > /random
FROM base
COPY file /file
COPY --from=one /random /one
COPY --from=two /random /two
";

fn nothing_or_one_stage_is_taken_from_the_cache(env: &TestEnv) {
    env.write("file", "file\n");
    let build = |flags: &[&str]| {
        let finished = env.build(RANDOM, &[&["--tag", "fresh", "--explain"], flags].concat());
        assert!(finished.status.success(), "{}", finished.stderr);
        let sums = env.output_of("fresh", "md5sum < /one; md5sum < /two");
        let both = sums.split_once('\n').unwrap();
        (finished.stderr, both.0.to_owned(), both.1.to_owned())
    };
    let (_, one, two) = build(&[]);
    let (told, same_one, same_two) = build(&[]);
    assert!(told.contains(" 0 steps ran"), "{told}");
    assert_eq!((&one, &two), (&same_one, &same_two));
    // Stages are named in any case.
    let (told, new_one, same_two) = build(&["--no-cache-filter", "ONE"]);
    assert!(
        told.contains("the cache is not used (--no-cache)"),
        "{told}"
    );
    assert_ne!(new_one, one);
    assert_eq!(same_two, two);
    let (_, newer_one, new_two) = build(&["--no-cache"]);
    assert_ne!(newer_one, new_one);
    assert_ne!(new_two, two);
    // What such a build made is what later ones take.
    let (told, last_one, last_two) = build(&[]);
    assert!(told.contains(" 0 steps ran"), "{told}");
    assert_eq!((last_one, last_two), (newer_one, new_two));
}

fn newer_bases_are_asked_for(env: &TestEnv) {
    let (name, newer) = (env.remote("moving:1"), env.remote("newer:1"));
    for (image, version) in [(&name, "old"), (&newer, "new")] {
        env.image(
            image,
            &format!("FROM base\nRUN echo {version} > /version\n"),
        );
        env.ok(&["push", image]);
    }
    let dockerfile = format!("FROM {name}\nRUN cat /version > /seen\n");
    let build = |flags: &[&str]| {
        let finished = env.build(
            &dockerfile,
            &[&["--tag", "pulled", "--explain"], flags].concat(),
        );
        assert!(finished.status.success(), "{}", finished.stderr);
        (finished.stderr, env.output_of("pulled", "cat /seen"))
    };
    assert_eq!(build(&[]).1, "old\n");
    // The tag moves in the registry alone.
    env.ok(&["copy", &newer, &name]);
    assert_eq!(build(&[]).1, "old\n");
    let (told, seen) = build(&["--pull"]);
    assert_eq!(seen, "new\n");
    assert!(told.contains("because the base image changed"), "{told}");
    let (told, seen) = build(&["--pull"]);
    assert_eq!(seen, "new\n");
    assert!(told.contains(" 0 steps ran"), "{told}");
}

fn a_lost_layer_is_made_again(env: &TestEnv) {
    const STEPS: &str = "FROM base\nRUN echo one > /one\nRUN cat /one > /two\nCOPY file /three\n";
    env.write("file", "three\n");
    let folder = env.scratch().directory("cache").unwrap();
    let to = format!("type=local,dest={},mode=max", folder.display());
    let from = format!("type=local,src={}", folder.display());
    let build = |flags: &[&str]| {
        let finished = env.build(STEPS, &[&["--tag", "whole", "--explain"], flags].concat());
        assert!(finished.status.success(), "{}", finished.stderr);
        assert_eq!(
            env.output_of("whole", "cat /one /two /three"),
            "one\none\nthree\n"
        );
        finished.stderr
    };
    build(&["--cache-to", &to]);
    let blobs = || {
        let blobs = std::fs::read_dir(folder.join("blobs/sha256")).unwrap();
        blobs.map(|entry| entry.unwrap().path())
    };
    // Layers are the blobs that are no text.
    let is_layer = |path: &std::path::PathBuf| std::fs::read(path).unwrap().first() != Some(&b'{');
    let layers: Vec<_> = blobs().filter(is_layer).collect();
    assert!(layers.len() >= 3, "{layers:?}");
    for (number, layer) in layers.iter().enumerate() {
        let content = std::fs::read(layer).unwrap();
        match number % 2 {
            0 => std::fs::remove_file(layer).unwrap(),
            _ => std::fs::write(layer, "damaged").unwrap(),
        }
        env.kiln().delete_store().unwrap();
        let base = env.scratch().path().join("base");
        env.ok(&["build", "--quiet", "--tag", "base", base.to_str().unwrap()]);
        let told = build(&["--cache-from", &from]);
        // That of the base is there already, and is not asked for.
        let is_asked_for = told.contains("its step runs again: cannot fetch layer");
        assert_eq!(is_asked_for, !told.contains(" 0 steps ran"), "{told}");
        std::fs::write(layer, content).unwrap();
    }
}
