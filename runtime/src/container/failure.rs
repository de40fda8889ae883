//! Launch failures in docker's words.

use crate::LaunchError;

use super::error::Error;

/// The error that a failed launch means for a container.
pub(crate) fn from_launch(error: &LaunchError) -> Error {
    match (error, error.exit_code()) {
        (LaunchError::Exec { program, .. }, 127) if program.contains('/') => Error::Command {
            message: format!("exec: \"{program}\": stat {program}: no such file or directory"),
            exit_code: 127,
        },
        (LaunchError::Exec { program, .. }, 127) => Error::Command {
            message: format!("exec: \"{program}\": executable file not found in $PATH"),
            exit_code: 127,
        },
        (
            LaunchError::Exec {
                program, source, ..
            },
            exit_code,
        ) => {
            let reason = if source.kind() == std::io::ErrorKind::PermissionDenied {
                "permission denied".to_owned()
            } else {
                source.to_string()
            };
            Error::Command {
                message: format!("exec: \"{program}\": {reason}"),
                exit_code,
            }
        }
        _ => Error::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errno: i32, program: &str, message: &str, exit_code: i32) {
        let error = from_launch(&LaunchError::Exec {
            program: program.to_owned(),
            source: std::io::Error::from_raw_os_error(errno),
            hint: None,
        });
        assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (message, exit_code)
        );
    }

    #[test]
    fn failures_of_exec_have_dockers_words_and_codes() {
        check(
            libc::ENOENT,
            "nosuch",
            "exec: \"nosuch\": executable file not found in $PATH",
            127,
        );
        check(
            libc::ENOENT,
            "/bin/nosuch",
            "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory",
            127,
        );
        check(
            libc::EACCES,
            "/etc/passwd",
            "exec: \"/etc/passwd\": permission denied",
            126,
        );
        let other = LaunchError::Operation {
            operation: "mount".to_owned(),
            object: "/proc".to_owned(),
            source: std::io::Error::from_raw_os_error(libc::EPERM),
            hint: None,
        };
        assert_eq!(from_launch(&other).exit_code(), 125);
    }
}
