//! When the commit was made that a directory of the user's was checked out from.

use std::path::Path;

use super::command::Git;
use crate::sources::{SourceError, Sources};

impl Sources<'_> {
    /// The time of the commit that a directory is at; none if it is in no repository, or in one without commits.
    pub(crate) fn commit_time(&self, directory: &Path) -> Result<Option<i64>, SourceError> {
        let Some(program) = &self.remote.git else {
            return Err(SourceError::Failed {
                message: format!(
                    "cannot ask for the commit of {}: there is no git",
                    directory.display()
                ),
                hint: Some("install git".to_owned()),
            });
        };
        let home = self.temporary("git")?;
        let git = Git {
            program,
            environment: &self.remote.environment,
            home: home.path().to_owned(),
            secrets: Vec::new(),
            ssh: None,
            cancel: self.cancel,
        };
        git.prepare()?;
        let arguments = ["rev-list", "--timestamp", "--max-count=1", "HEAD"];
        match git.run(directory, "", &arguments) {
            Ok(line) => Ok(line.split(' ').next().and_then(|time| time.parse().ok())),
            Err(SourceError::Cancelled) => Err(SourceError::Cancelled),
            Err(SourceError::Failed { .. }) => Ok(None),
        }
    }
}
