//! Who may do what.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Shared;
use super::http::{Head, Reply};
use super::profile::Login;

/// `user:pass`, encoded.
const BASIC: &str = "Basic dXNlcjpwYXNz";

/// The token service.
pub fn answer(shared: &Arc<Shared>, head: &Head, body: &[u8]) -> Reply {
    let Login::Token {
        field,
        post,
        one_scope,
    } = shared.profile.login
    else {
        return Reply::new(404);
    };
    let mut scopes = head.parameters("scope");
    if head.method == "POST" {
        if post != 200 {
            return Reply::new(post).body(r#"{"details":"this service knows only GET"}"#);
        }
        let text = String::from_utf8_lossy(body).into_owned();
        let form = Head {
            target: format!("/token?{text}"),
            ..head.clone()
        };
        if form.parameter("refresh_token").as_deref() != Some("identity") {
            return Reply::new(401).body(r#"{"details":"unknown token"}"#);
        }
        scopes = form.parameters("scope");
    } else {
        let given = head.header("authorization");
        // Anonymous tokens are for reading only; the identity token counts as a password where POST is not known.
        let known =
            given == BASIC || given.ends_with("OmlkZW50aXR5") || given.ends_with("aWRlbnRpdHk=");
        if !given.is_empty() && !known {
            return Reply::new(401).body(r#"{"details":"incorrect username or password"}"#);
        }
    }
    let mut scopes: Vec<String> = scopes
        .iter()
        .flat_map(|text| text.split(' '))
        .map(str::to_owned)
        .collect();
    if one_scope {
        scopes.truncate(1);
    }
    let mut state = shared.state.lock().unwrap();
    let value = format!("token-{}", state.tokens.len());
    state
        .tokens
        .insert(value.clone(), scopes.into_iter().collect::<BTreeSet<_>>());
    Reply::new(200).body(format!(r#"{{"{field}":"{value}","expires_in":300}}"#))
}

/// The answer to a request whose credentials are not good any more.
pub fn expired(shared: &Shared) -> Reply {
    let challenge = match shared.profile.login {
        Login::Token { .. } => format!(
            "Bearer realm=\"http://{}/token\",service=\"test\",error=\"invalid_token\"",
            shared.address
        ),
        Login::Basic(scheme) => format!("{scheme} realm=\"Test\""),
        Login::Open => String::new(),
    };
    Reply::error(401, "UNAUTHORIZED", "authentication required")
        .header("WWW-Authenticate", challenge)
}

/// The answer to a request without the right to what it wants.
pub fn refusal(shared: &Arc<Shared>, head: &Head) -> Option<Reply> {
    let given = head.header("authorization");
    match shared.profile.login {
        Login::Open => None,
        Login::Basic(_) if given == BASIC => None,
        Login::Basic(scheme) => Some(
            Reply::error(401, "UNAUTHORIZED", "authentication required")
                .header("WWW-Authenticate", format!("{scheme} realm=\"Test\"")),
        ),
        Login::Token { .. } => {
            let wanted = wanted(head);
            let token = given.strip_prefix("Bearer ").unwrap_or("");
            let state = shared.state.lock().unwrap();
            let allowed = state.tokens.get(token).is_some_and(|scopes| {
                wanted
                    .iter()
                    .all(|(repository, action)| allows(scopes, repository, action))
            });
            if allowed {
                return None;
            }
            let scope: Vec<String> = wanted
                .iter()
                .map(|(repository, action)| format!("repository:{repository}:{action}"))
                .collect();
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"test\",scope=\"{}\"",
                shared.address,
                scope.join(" ")
            );
            Some(
                Reply::error(401, "UNAUTHORIZED", "authentication required")
                    .header("WWW-Authenticate", challenge),
            )
        }
    }
}

fn allows(scopes: &BTreeSet<String>, repository: &str, action: &str) -> bool {
    scopes.iter().any(|scope| {
        scope
            .strip_prefix("repository:")
            .and_then(|rest| rest.rsplit_once(':'))
            .is_some_and(|(name, actions)| {
                name == repository
                    && action
                        .split(',')
                        .all(|one| actions.split(',').any(|known| known == one))
            })
    })
}

/// Repositories and actions that a request needs. The origin of a mount is not among them: without it the mount becomes an upload.
fn wanted(head: &Head) -> Vec<(String, &'static str)> {
    let Some(rest) = head.path().strip_prefix("/v2/") else {
        return Vec::new();
    };
    let end = ["/blobs/", "/manifests/", "/tags/"]
        .iter()
        .find_map(|part| rest.find(part));
    let Some(end) = end else {
        return Vec::new();
    };
    let action = match head.method.as_str() {
        "GET" | "HEAD" if !rest.contains("/blobs/uploads/") => "pull",
        "DELETE" if rest.contains("/manifests/") => "delete",
        _ => "pull,push",
    };
    vec![(rest[..end].to_owned(), action)]
}

/// Whether a request may read a repository.
pub fn may_read(shared: &Shared, head: &Head, repository: &str) -> bool {
    match shared.profile.login {
        Login::Open | Login::Basic(_) => true,
        Login::Token { .. } => {
            let token = head
                .header("authorization")
                .strip_prefix("Bearer ")
                .unwrap_or("");
            let state = shared.state.lock().unwrap();
            state
                .tokens
                .get(token)
                .is_some_and(|scopes| allows(scopes, repository, "pull"))
        }
    }
}
