//! Names of containers: files `names/<name>` that hold an id, reserved by `link(2)` so that two commands can't take the same one.
//!
//! A name is linked after its container's directory exists and unlinked before the directory goes, so a crash leaves at
//! worst a container without a name, never a name without a container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Context, Error, Result};
use super::id::ContainerId;
use super::random;

/// First words of a generated name.
const ADJECTIVES: &[&str] = &[
    "agile", "amber", "bold", "brave", "brisk", "calm", "clever", "cosy", "crisp", "daring",
    "eager", "early", "fair", "fervent", "fond", "gentle", "glad", "golden", "happy", "hardy",
    "honest", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry", "mighty", "modest",
    "neat", "nimble", "noble", "patient", "placid", "polite", "proud", "quick", "quiet", "ready",
    "serene", "sharp", "silent", "sleek", "smart", "solid", "steady", "sunny", "swift", "tidy",
    "upbeat", "vivid", "warm", "wise", "witty", "zealous",
];

/// Second words of a generated name: people of ceramics, chemistry and computing.
const SURNAMES: &[&str] = &[
    "adams",
    "albers",
    "babbage",
    "bardeen",
    "bell",
    "bohr",
    "boole",
    "boyle",
    "cardew",
    "cartwright",
    "clarke",
    "cooper",
    "curie",
    "dijkstra",
    "euclid",
    "euler",
    "fermat",
    "franklin",
    "galileo",
    "gauss",
    "goldberg",
    "hamilton",
    "hopper",
    "johnson",
    "kepler",
    "knuth",
    "lamarr",
    "leach",
    "lovelace",
    "martinez",
    "maxwell",
    "meitner",
    "natzler",
    "neumann",
    "newton",
    "noether",
    "palissy",
    "pascal",
    "pasteur",
    "perlman",
    "poincare",
    "raman",
    "rhodes",
    "rie",
    "ritchie",
    "shannon",
    "staite",
    "takaezu",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "voulkos",
    "wedgwood",
    "wilson",
    "wozniak",
];

/// Random names tried before a number is added.
const ATTEMPTS: usize = 8;

/// The directory of names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    directory: PathBuf,
}

impl Names {
    /// The names below a store's root. The directory is made when missing.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let directory = root.join("names");
        fs::create_dir_all(&directory).context(|| format!("creating {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// The container that has a name.
    pub(crate) fn owner(&self, name: &str) -> Result<Option<ContainerId>> {
        if validate(name).is_err() {
            return Ok(None);
        }
        let path = self.directory.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::Damaged {
                path: path.display().to_string(),
                reason: "it holds no container id".to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("reading {}", path.display())),
        }
    }

    /// Reserves `name` by linking `claim`, a file that holds the container's id.
    pub(crate) fn reserve(&self, name: &str, claim: &Path) -> Result<()> {
        validate(name)?;
        match fs::hard_link(claim, self.directory.join(name)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.owner(name)? {
                Some(owner) => Err(Error::NameTaken {
                    name: name.to_owned(),
                    owner,
                }),
                // It was released in between: the second try decides.
                None => fs::hard_link(claim, self.directory.join(name))
                    .context(|| format!("reserving the name {name}")),
            },
            Err(error) => Err(error).context(|| format!("reserving the name {name}")),
        }
    }

    /// Gives a name back, if it is this container's.
    pub(crate) fn release(&self, name: &str, id: &ContainerId) -> Result<()> {
        if self.owner(name)?.as_ref() != Some(id) {
            return Ok(());
        }
        let path = self.directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context(|| format!("releasing the name {name}"))
            }
            _ => Ok(()),
        }
    }

    /// All names of a container.
    pub(crate) fn of(&self, id: &ContainerId) -> Result<Vec<String>> {
        let describe = || format!("reading {}", self.directory.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).context(describe)? {
            if let Some(name) = entry.context(describe)?.file_name().to_str()
                && matches!(self.owner(name), Ok(Some(owner)) if owner == *id)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A random name that was free a moment ago.
    pub(crate) fn random(&self) -> Result<String> {
        for _ in 0..ATTEMPTS {
            let name = pair()?;
            if self.owner(&name)?.is_none() {
                return Ok(name);
            }
        }
        Ok(format!("{}{}", pair()?, random::below(1_000_000)?))
    }
}

fn pair() -> Result<String> {
    Ok(format!(
        "{}_{}",
        ADJECTIVES[random::below(ADJECTIVES.len())?],
        SURNAMES[random::below(SURNAMES.len())?]
    ))
}

/// Docker's rule for names of containers and volumes: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn validate(name: &str) -> Result<()> {
    let valid = name.len() >= 2
        && name.len() <= 255
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if valid {
        Ok(())
    } else {
        Err(Error::Invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(root: &Path, id: &ContainerId) -> PathBuf {
        let path = root.join(id.short());
        fs::write(&path, id.as_str()).unwrap();
        path
    }

    #[test]
    fn a_name_belongs_to_one_container_until_released() {
        let root = tempfile::tempdir().unwrap();
        let names = Names::open(root.path()).unwrap();
        let (one, two) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        names.reserve("web", &claim(root.path(), &one)).unwrap();
        assert_eq!(names.owner("web").unwrap(), Some(one.clone()));

        let refused = names.reserve("web", &claim(root.path(), &two)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "Conflict. The container name \"/web\" is already in use by container \"{one}\". You have to remove (or rename) that container to be able to reuse that name."
            )
        );

        names.release("web", &two).unwrap();
        assert_eq!(
            names.owner("web").unwrap(),
            Some(one.clone()),
            "only its owner can release it"
        );
        names.release("web", &one).unwrap();
        assert_eq!(names.owner("web").unwrap(), None);
        names.reserve("web", &claim(root.path(), &two)).unwrap();
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["web", "a1", "A.b-c_d", "0x"] {
            validate(good).unwrap();
        }
        for bad in ["", "a", "_a", "a/b", "..", "a b", "-x", "é1"] {
            assert!(validate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn random_names_are_valid_and_free() {
        let root = tempfile::tempdir().unwrap();
        let names = Names::open(root.path()).unwrap();
        for _ in 0..100 {
            validate(&names.random().unwrap()).unwrap();
        }
    }
}
