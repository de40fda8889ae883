//! The whole of what a command shows, with what differs from run to run replaced.

use xtask::process::Finished;

use super::TestEnv;

/// What differs from run to run, and what stands for it, in order.
const FILTERS: &[(&str, &str)] = &[
    (r"/logs/\d+-\d+/", "/logs/[BUILD]/"),
    (r"sha256:[0-9a-f]{64}", "[DIGEST]"),
    (r"\b[0-9a-f]{64}\b", "[ID]"),
    (r"logs/\d{12}-\d+/", "logs/[BUILD]/"),
    (r"\b[0-9a-f]{12}\b", "[SHORT ID]"),
    // An ordinary user's machine may have no pasta, or no device for it.
    (r"(?m)^notice: steps used the host's network: .*\n", ""),
    (r"(?m)^#(\d+) \d+\.\d{3} ", "#$1 [TIME] "),
    (r"\b\d+(\.\d+)? ?(ms|s|µs)\b", "[TIME]"),
    // How requests and answers interleave decides over the one or other request.
    (r"\b\d+ requests", "[N] requests"),
    (r"\b\d+(\.\d+)? ?(B|kB|MB|KiB|MiB)\b", "[SIZE]"),
];

/// The exit code and both outputs.
pub fn show(finished: &Finished) -> String {
    let mut text = format!("exit code {}\n", finished.code());
    for (name, output) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        if !output.is_empty() {
            text.push_str(&format!("----- {name}\n{output}"));
        }
    }
    text
}

/// Runs `check` on the shown text, under the filters.
pub fn with_filters(env: &TestEnv, finished: &Finished, check: impl FnOnce(String)) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&escape(&env.scratch().path().to_string_lossy()), "[ENV]");
    settings.add_filter(r"127\.0\.0\.1:\d+", "[REGISTRY]");
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, *replacement);
    }
    settings.bind(|| check(show(finished)));
}

/// A pattern that matches `text` itself.
fn escape(text: &str) -> String {
    text.replace('.', r"\.").replace('-', r"\-")
}

/// Compares all that a command showed with an inline snapshot; root and the ordinary user see the same.
macro_rules! assert_shown {
    ($env:expr, $finished:expr, @$snapshot:literal) => {
        $crate::support::with_filters($env, &$finished, |text| {
            insta::allow_duplicates! { insta::assert_snapshot!(text, @$snapshot) }
        })
    };
}
pub(crate) use assert_shown;
