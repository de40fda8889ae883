//! Steps that run, what they see, what becomes of them.

use kiln_builder::{Built, Outcome};
use kiln_store::{Follow, View};

use crate::lab::{Lab, Test};

pub const TESTS: &[Test] = &[
    ("first_build", first_build),
    (
        "a_changed_comment_runs_once_and_changes_nothing",
        a_changed_comment,
    ),
];

fn view(lab: &Lab, built: &Built) -> View {
    lab.store
        .stack(built.image.config.diff_ids())
        .expect("the layers are there")
        .view()
}

fn text(lab: &Lab, built: &Built, path: &str) -> String {
    let view = view(lab, built);
    let entry = view
        .lookup(path.as_bytes(), Follow::All)
        .expect("readable")
        .unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(view.read_file(&entry, 1 << 20).expect("a file")).expect("text")
}

fn outcomes(built: &Built) -> Vec<&'static str> {
    let short = |outcome: &Outcome| match outcome {
        Outcome::Cached => "cached",
        Outcome::CachedByContent => "content",
        Outcome::NotNeeded => "spared",
        Outcome::Ran { .. } => "ran",
        Outcome::SameResult { .. } => "same",
        _ => "other",
    };
    built
        .steps
        .iter()
        .map(|step| short(&step.outcome))
        .collect()
}

fn first_build(lab: &Lab) {
    lab.write("a.txt", "hello\n");
    let request = lab.request(
        "WORKDIR /work\nCOPY a.txt .\nRUN cat a.txt > b.txt; echo done; id -u >&2\nCMD [\"sh\"]\n",
    );
    let built = lab.build(&request);
    assert_eq!(text(lab, &built, "/work/b.txt"), "hello\n");
    assert_eq!(lab.output(), "done\n0\n");
    assert_eq!(outcomes(&built), ["ran", "ran", "ran", "ran", "ran"]);
    let again = lab.build(&request);
    assert_eq!(outcomes(&again), ["cached"; 5]);
    assert_eq!(again.manifest_digest(), built.manifest_digest());
}

fn a_changed_comment(lab: &Lab) {
    let request = |comment: &str| {
        lab.request(&format!("RUN echo one > /one\nRUN echo two > /two # {comment}\nRUN echo three > /three\nRUN cat /two > /four\n"))
    };
    let first = lab.build(&request("a"));
    let second = lab.build(&request("b"));
    assert_eq!(
        outcomes(&second),
        ["cached", "cached", "cached", "same", "content", "content"]
    );
    assert_eq!(
        first.image.config.diff_ids(),
        second.image.config.diff_ids()
    );
    assert_eq!(second.steps[3].outcome.why(), Some("the command changed"));
}
