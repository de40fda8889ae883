//! The parser's, the rules' and the patterns' times on inputs far larger than real ones: `cargo test --release -p kiln-grammar --test speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use kiln_grammar::ignore::Patterns;
use kiln_grammar::{bench, lint, parse, stages};

/// What a file of ten thousand lines may take: nobody should ever wait for the parser.
const PARSE: Duration = Duration::from_millis(50);
const CHECK: Duration = Duration::from_millis(100);
/// What telling the ignored ones among [`PATHS`] may take: less than listing them takes.
const IGNORE: Duration = Duration::from_millis(100);
const PATHS: usize = 100_000;

/// The best of some runs: what the work takes when nothing else goes on.
fn best(work: impl Fn()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        work();
        times.push(start.elapsed());
    }
    times.into_iter().min().unwrap_or_default()
}

#[test]
#[ignore = "says something in release mode and on a quiet machine only"]
fn ten_thousand_lines() {
    let mut measured: Vec<bench::Measured> = (0..9).map(|_| bench::measure()).collect();
    measured.sort_by_key(|measured| measured.check);
    let median = measured[measured.len() / 2];
    println!(
        "{} lines: parse {:.1?}, check {:.1?} (median of {})",
        bench::LINES,
        median.parse,
        median.check,
        measured.len()
    );
    assert!(median.parse <= PARSE && median.check <= CHECK, "{median:?}");
}

#[test]
#[ignore = "says something in release mode and on a quiet machine only"]
fn ten_thousand_stages() {
    let text = bench::many_stages(bench::LINES);
    let time = best(|| {
        let parsed = parse(&text);
        assert!(!parsed.has_errors() && stages::check_references(&parsed.file).is_empty());
        lint::check(&parsed.file, &lint::Options::default()).expect("it has no check directive");
    });
    println!("{} stages: parse and check {time:.1?}", bench::LINES);
    // There are two lines for each of them.
    assert!(time <= CHECK * 2, "{time:?}");
}

/// Patterns as projects have them, most of which match nothing, with exceptions.
const PATTERNS: &str = "\
.git
**/node_modules
**/*.log
**/.DS_Store
**/target/debug
*.md
!README.md
build/
docs/**/draft-?.txt
src/[a-m]*/tests
**/__pycache__
/vendor/*/test*
!src/**/keep
";

#[test]
#[ignore = "says something in release mode and on a quiet machine only"]
fn hundred_thousand_paths() {
    let paths: Vec<String> = (0..PATHS)
        .map(|number| {
            let (package, file) = (number / 100, number % 100);
            format!("src/package{package}/module{}/file{file}.rs", file % 7)
        })
        .collect();
    let patterns = Patterns::parse(PATTERNS).expect("they are well-formed");
    let single = best(|| {
        let kept = paths.iter().filter(|path| !patterns.is_ignored(path));
        assert_eq!(kept.count(), PATHS);
    });
    // A walk asks with what it knows of the directory.
    let walk = best(|| {
        let root = patterns.root();
        let source = patterns.below(&root, "src");
        for package in paths.chunks(100) {
            let first = package.first().expect("chunks are not empty");
            let name = first.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
            let directory = patterns.below(&source, &name);
            let modules: Vec<_> = (0..7)
                .map(|number| patterns.below(&directory, format!("{name}/module{number}")))
                .collect();
            for (number, path) in package.iter().enumerate() {
                assert!(!patterns.below(&modules[number % 7], path).is_ignored());
            }
        }
    });
    println!("{PATHS} paths: {single:.1?} one by one, {walk:.1?} as a walk");
    assert!(
        single <= IGNORE * 2 && walk <= IGNORE,
        "{single:?} {walk:?}"
    );
}
