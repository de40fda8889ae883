//! Credential helpers: programs named `docker-credential-<name>` that keep secrets elsewhere.
//!
//! The protocol is a verb as argument, one text on standard input and JSON on standard output. The caller runs the program.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::secret::Secret;

use super::Credential;

/// A call of a helper: run `docker-credential-<helper> <verb>` with `input` on its standard input.
#[derive(Clone, Copy, Debug)]
pub struct HelperRequest<'a> {
    /// The name after `docker-credential-`; letters, digits, `.`, `_` and `-` only.
    pub helper: &'a str,
    /// `get`, `store`, `erase` or `list`.
    pub verb: &'a str,
    /// What the helper reads.
    pub input: &'a str,
}

/// What a helper said.
#[derive(Clone, Debug, Default)]
pub struct HelperOutput {
    /// True if it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a helper with a time limit; the error says why it could not be run.
pub type RunHelper = dyn Fn(&HelperRequest<'_>) -> Result<HelperOutput, String> + Send + Sync;

/// What helpers print when they have nothing for a server; the protocol has no other sign.
const NOT_FOUND: &[&str] = &[
    "credentials not found in native keychain",
    "no credentials server url",
    "no credentials username",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of a server.
pub(super) fn get(run: &RunHelper, helper: &str, server: &str) -> Result<Option<Credential>> {
    let output = call(
        run,
        &HelperRequest {
            helper,
            verb: "get",
            input: server,
        },
    )?;
    if !output.success {
        // Helpers are not agreed on the stream either.
        let said = format!("{} {}", output.stdout.trim(), output.stderr.trim());
        if NOT_FOUND
            .iter()
            .any(|text| said.to_lowercase().contains(text))
        {
            return Ok(None);
        }
        return Err(failed(helper, "get", &said));
    }
    let answer: Answer = serde_json::from_str(&output.stdout)
        .map_err(|error| failed(helper, "get", &format!("its answer is not valid: {error}")))?;
    Ok(match (answer.username.as_str(), answer.secret.as_str()) {
        ("", "") => None,
        ("<token>", token) => Some(Credential::Identity {
            username: String::new(),
            token: Secret::new(token),
        }),
        (username, password) => Some(Credential::Basic {
            username: username.to_owned(),
            password: Secret::new(password),
        }),
    })
}

/// Hands a credential to a helper to keep; `registry` as in references.
pub fn store_in_helper(
    run: &RunHelper,
    helper: &str,
    registry: &str,
    credential: &Credential,
) -> Result<()> {
    let (username, secret) = match credential {
        Credential::Basic { username, password } => (username.as_str(), password),
        Credential::Identity { token, .. } => ("<token>", token),
        Credential::Registry(_) => {
            return Err(Error::Credentials(format!(
                "docker-credential-{helper} cannot keep a registry token"
            )));
        }
    };
    let server = super::file_key(registry);
    let input =
        serde_json::json!({"ServerURL": server, "Username": username, "Secret": secret.expose()})
            .to_string();
    let output = call(
        run,
        &HelperRequest {
            helper,
            verb: "store",
            input: &input,
        },
    )?;
    if output.success {
        Ok(())
    } else {
        Err(failed(
            helper,
            "store",
            &format!("{} {}", output.stdout, output.stderr),
        ))
    }
}

/// Makes a helper forget a registry; one that did not know it is content.
pub fn erase_from_helper(run: &RunHelper, helper: &str, registry: &str) -> Result<()> {
    let server = super::file_key(registry);
    let output = call(
        run,
        &HelperRequest {
            helper,
            verb: "erase",
            input: &server,
        },
    )?;
    let said = format!("{} {}", output.stdout, output.stderr);
    if output.success
        || NOT_FOUND
            .iter()
            .any(|text| said.to_lowercase().contains(text))
    {
        Ok(())
    } else {
        Err(failed(helper, "erase", &said))
    }
}

/// Runs a helper whose name is fit to be part of a program's name.
fn call(run: &RunHelper, request: &HelperRequest<'_>) -> Result<HelperOutput> {
    let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if request.helper.is_empty() || !request.helper.chars().all(name_ok) {
        return Err(Error::Credentials(format!(
            "`{}` is not the name of a credential helper",
            request.helper.escape_debug()
        )));
    }
    run(request).map_err(|reason| {
        Error::Credentials(format!(
            "cannot run docker-credential-{}: {reason}",
            request.helper
        ))
    })
}

fn failed(helper: &str, verb: &str, said: &str) -> Error {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::Credentials(format!("docker-credential-{helper} {verb} failed: {said}"))
}
