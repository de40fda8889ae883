//! `.dockerignore`: which files of a context do not take part.
//!
//! The last pattern that matches a path, or a directory above it, decides. Patterns start at the root of the context; there is no
//! "at any level" rule as git has it, and a trailing slash means nothing.

mod glob;
mod read;

pub use read::PatternError;

use glob::Glob;

/// The patterns of one file, compiled.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    exception: bool,
    glob: Glob,
}

impl Patterns {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// Fails on `!` alone and on a malformed pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Self::new(read::lines(text)?)
    }

    /// Compiles single patterns, as `--exclude` gives them.
    ///
    /// # Errors
    /// As [`Patterns::parse`].
    pub fn from_patterns<S: AsRef<str>>(
        patterns: impl IntoIterator<Item = S>,
    ) -> Result<Self, PatternError> {
        let mut lines = Vec::new();
        for (index, pattern) in patterns.into_iter().enumerate() {
            lines.extend(read::line(pattern.as_ref(), index + 1)?);
        }
        Self::new(lines)
    }

    fn new(lines: Vec<read::Line>) -> Result<Self, PatternError> {
        let mut result = Self::default();
        for line in lines {
            let glob = Glob::compile(&line.pattern).ok_or_else(|| PatternError::Malformed {
                line: line.number,
                pattern: line.pattern.clone(),
            })?;
            result.has_exceptions |= line.exception;
            result.patterns.push(Pattern {
                text: line.pattern,
                exception: line.exception,
                glob,
            });
        }
        Ok(result)
    }

    /// Whether there are no patterns at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns as cleaned: leading slash and `./` gone, exceptions with their `!`.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| {
            if pattern.exception {
                format!("!{}", pattern.text)
            } else {
                pattern.text.clone()
            }
        })
    }

    /// Whether `path`, relative to the context and without a leading slash, takes no part. Looks at the directories above it too.
    pub fn is_ignored(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        self.parent_chain(path).is_ignored()
    }

    fn parent_chain(&self, path: &[u8]) -> Matched {
        let mut matched = self.root();
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            matched = self.below(&matched, &path[..end]);
        }
        self.below(&matched, path)
    }

    /// What a walk starts with: nothing matched yet.
    pub fn root(&self) -> Matched {
        Matched {
            hits: vec![0; self.patterns.len().div_ceil(64)],
            ignored: false,
        }
    }

    /// The result for an entry whose parent directory's result is known. A walk that keeps the result of each directory matches each
    /// pattern once per entry.
    pub fn below(&self, parent: &Matched, path: impl AsRef<[u8]>) -> Matched {
        let path = path.as_ref();
        let mut matched = parent.clone();
        matched.ignored = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let (word, bit) = (index / 64, 1_u64 << (index % 64));
            if matched.hits[word] & bit == 0 && pattern.glob.matches(path) {
                matched.hits[word] |= bit;
            }
            if matched.hits[word] & bit != 0 {
                matched.ignored = !pattern.exception;
            }
        }
        matched
    }

    /// The first pattern on which the fast and the slow way of matching `path` disagree.
    pub(crate) fn disagreement(&self, path: &[u8]) -> Option<&str> {
        self.patterns
            .iter()
            .find(|pattern| !pattern.glob.is_consistent(path))
            .map(|pattern| pattern.text.as_str())
    }

    /// Whether something below the ignored directory `path` may take part after all, so that it must be walked.
    pub fn may_keep_below(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        self.has_exceptions
            && self
                .patterns
                .iter()
                .any(|pattern| pattern.exception && pattern.glob.may_match_below(path))
    }
}

/// Which patterns matched a path or a directory above it.
#[derive(Clone, Debug)]
pub struct Matched {
    hits: Vec<u64>,
    ignored: bool,
}

impl Matched {
    /// Whether the path takes no part.
    pub fn is_ignored(&self) -> bool {
        self.ignored
    }
}
