//! Repositories for tests: made, changed and committed to with fixed times.

use std::path::PathBuf;

use xtask::process::run;

use super::TestEnv;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// The time of every commit: Wed, 21 Oct 2015 07:28:00 GMT
pub const SECONDS: &str = "1445412480";

/// A repository, and how it is changed.
pub struct Repository<'a> {
    env: &'a TestEnv,
    pub path: PathBuf,
}

impl<'a> Repository<'a> {
    pub fn new(env: &'a TestEnv, path: PathBuf) -> Self {
        let repository = Self { env, path };
        std::fs::create_dir_all(&repository.path).unwrap();
        repository.env.identity().take(&repository.path).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = self.env.program("git");
        command
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@example.org",
                "-c",
                "protocol.file.allow=always",
            ])
            .arg("-C")
            .arg(&self.path)
            .env("GIT_COMMITTER_DATE", format!("{SECONDS} +0000"))
            .env("GIT_AUTHOR_DATE", format!("{SECONDS} +0000"))
            .args(arguments);
        run(&mut command, LIMIT).unwrap().stdout.trim().to_owned()
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        for path in [&path, path.parent().unwrap()] {
            self.env.identity().take(path).unwrap();
        }
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}
