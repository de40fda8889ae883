//! One build as a file: sections with a header line each.
//!
//! ```text
//! What it shows.
//! -- options --                       KEY [VALUE] a line, see `play`
//! -- Dockerfile --
//! -- context/FILE [MODE] [KEY=VALUE...] --       a file; `bare` takes the last line feed away, `user.x=y` is an attribute
//! -- context/DIRECTORY/ [MODE] --
//! -- context/LINK -> TARGET --        also `= FILE` for another name of a file, and `| pipe`
//! -- context/ARCHIVE tar|gzip|bzip2|xz|zstd --   entries, a line each
//! -- stage NAME ... --                as `context/`, in a context of that name
//! -- tree --, -- config --, -- history --        what is expected
//! -- error --                         or why it fails
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The sections that hold what is expected.
pub const EXPECTED: [&str; 4] = ["tree", "config", "history", "error"];

/// One build with what is expected of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name: the file's path below the corpus without its ending.
    pub name: String,
    pub path: PathBuf,
    about: String,
    pub sections: Vec<(String, String)>,
}

impl Case {
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut about = String::new();
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            let header = line.trim_end().strip_prefix("-- ");
            match header.and_then(|header| header.strip_suffix(" --")) {
                Some(header) => sections.push((header.to_owned(), String::new())),
                None => match sections.last_mut() {
                    Some((_, body)) => body.push_str(line),
                    None => about.push_str(line),
                },
            }
        }
        let name = path.strip_prefix(root).unwrap().with_extension("");
        Self {
            name: name.to_str().unwrap().to_owned(),
            path: path.to_owned(),
            about,
            sections,
        }
    }

    pub fn section(&self, wanted: &str) -> Option<&str> {
        let mut found = self.sections.iter().filter(|(header, _)| header == wanted);
        found.next().map(|(_, body)| body.as_str())
    }

    /// The lines of the options, each a key with its value.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.section("options").unwrap_or_default().lines();
        lines
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
    }

    pub fn has(&self, option: &str) -> bool {
        self.options().any(|(key, _)| key == option)
    }

    /// What is expected, in the form of what is found.
    pub fn expected(&self) -> Vec<(String, String)> {
        let all = self.sections.iter();
        all.filter(|(header, _)| EXPECTED.contains(&header.as_str()))
            .cloned()
            .collect()
    }

    /// The file with other expectations.
    pub fn with(&self, found: &[(String, String)]) -> String {
        let mut text = self.about.clone();
        let given = self.sections.iter();
        let given = given.filter(|(header, _)| !EXPECTED.contains(&header.as_str()));
        for (header, body) in given.chain(found) {
            write!(text, "-- {header} --\n{body}").unwrap();
        }
        text
    }
}

/// All cases below a directory, in the order of their names.
pub fn all(root: &Path) -> Vec<Case> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "build") {
                found.push(Case::read(root, &path));
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}
