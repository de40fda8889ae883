//! Asking a token service: GET with a password or anonymously, POST with an identity token.
//!
//! The two flows are distribution-spec's "token" and "oauth2" authentication. Answers name the token twice (`token`, `access_token`), once, or say
//! nothing of its lifetime; services refuse the POST flow in four different ways.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::credentials::Credential;
use crate::error::{Error, Result, describe};
use crate::secret::Secret;
use crate::transport::{Answer, Meter, Payload, Request, Transport, Trust, redact};

use super::scope::Scopes;

/// The lifetime of a token that does not say; the specification names it, and shorter ones are treated alike.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// A token is renewed this long before its end at most, so that a request under way does not meet it.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// The longest answer of a token service that is read.
const BODY_LIMIT: u64 = 1 << 20;

/// A bearer token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    expires: Instant,
}

impl Token {
    pub(super) fn is_fresh(&self) -> bool {
        Instant::now() < self.expires
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<serde_json::Value>,
}

/// Everything a token request needs.
#[derive(Debug)]
pub(super) struct TokenRequest<'a> {
    pub(super) transport: &'a Transport,
    pub(super) trust: &'a Trust,
    pub(super) meter: Arc<Meter>,
    pub(super) registry: &'a str,
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a Scopes,
    /// The scope that the registry asked for just now.
    pub(super) challenged: Option<&'a str>,
    pub(super) credential: Option<&'a Credential>,
}

impl TokenRequest<'_> {
    /// Asks for the token.
    pub(super) async fn send(&self) -> Result<Token> {
        let answer = match self.credential {
            Some(Credential::Identity { username, token }) => {
                let answer = self.post(token).await?;
                if refuses_post(answer.status(), username) {
                    self.get(Some((username, token))).await?
                } else {
                    answer
                }
            }
            Some(Credential::Basic { username, password }) => {
                self.get(Some((username, password))).await?
            }
            Some(Credential::Registry(_)) | None => self.get(None).await?,
        };
        self.read(answer).await
    }

    async fn get(&self, user: Option<(&str, &Secret)>) -> Result<Answer> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes.parameters(self.challenged) {
                query.append_pair("scope", &scope);
            }
        }
        let authorization = user
            .map(|(username, password)| basic_header(username, password))
            .transpose()?;
        let request = Request::new(Method::GET, url, self.meter.clone());
        self.transport
            .exchange(&request, authorization.as_ref(), self.trust)
            .await
    }

    async fn post(&self, token: &Secret) -> Result<Answer> {
        let request = Request::new(Method::POST, self.realm.clone(), self.meter.clone())
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .payload(Payload::Bytes(Bytes::from(self.form(token))));
        self.transport.exchange(&request, None, self.trust).await
    }

    fn form(&self, token: &Secret) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("client_id", "kiln");
        form.append_pair("refresh_token", token.expose());
        if let Some(service) = self.service {
            form.append_pair("service", service);
        }
        let scopes = self.scopes.parameters(self.challenged);
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.finish()
    }

    async fn read(&self, mut answer: Answer) -> Result<Token> {
        let status = answer.status();
        if matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
        ) {
            let error = answer.read_error().await;
            let said = if error.errors.is_empty() {
                error.body
            } else {
                describe(&error.errors)
            };
            let said = if said.is_empty() {
                status.to_string()
            } else {
                said
            };
            let reason = format!("the token service {} says: {said}", redact(self.realm));
            return Err(Error::Unauthorized {
                registry: self.registry.to_owned(),
                what: self.scopes.to_string(),
                reason,
            });
        }
        if !status.is_success() {
            return Err(answer.into_error().await);
        }
        let from = answer.shown_url();
        let body = answer.bytes(BODY_LIMIT).await?;
        let body: Body = serde_json::from_slice(&body)
            .map_err(|_| Error::protocol(&from, "the answer of the token service is not JSON"))?;
        let value = if body.token.is_empty() {
            body.access_token
        } else {
            body.token
        };
        if value.is_empty() {
            return Err(Error::protocol(
                from,
                "the answer of the token service holds no token",
            ));
        }
        Ok(Token {
            value: Secret::new(value),
            expires: Instant::now() + usable(body.expires_in.as_ref()),
        })
    }
}

/// How long a token is used. The number comes as a number or in quotes.
fn usable(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = match expires_in {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let life = seconds
        .filter(|seconds| (0.0..1e9).contains(seconds))
        .map_or(SHORTEST_LIFE, Duration::from_secs_f64)
        .max(SHORTEST_LIFE);
    life - (life / 4).min(LONGEST_MARGIN)
}

/// How services say that they do not know the POST flow: 404 (GCR), 401 (Artifactory), 400 (ACR), 405 (others, which then want a user name).
fn refuses_post(status: StatusCode, username: &str) -> bool {
    match status {
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => true,
        StatusCode::METHOD_NOT_ALLOWED => !username.is_empty(),
        _ => false,
    }
}

/// The value of an `Authorization` header for a user name and password.
pub(super) fn basic_header(username: &str, password: &Secret) -> Result<HeaderValue> {
    let encoded = base64::engine::general_purpose::STANDARD
        .encode(format!("{username}:{}", password.expose()));
    header(&format!("Basic {encoded}"))
}

/// The value of an `Authorization` header for a token.
pub(super) fn bearer_header(token: &Secret) -> Result<HeaderValue> {
    header(&format!("Bearer {}", token.expose()))
}

fn header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::Credentials(format!(
            "a token or password has characters that cannot be sent in the {AUTHORIZATION} header"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        let check = |text: &str, expect: u64| {
            let value: Option<serde_json::Value> = serde_json::from_str(text).unwrap();
            assert_eq!(
                usable(value.as_ref()),
                Duration::from_secs(expect),
                "{text}"
            );
        };
        check("null", 45);
        check("1", 45);
        check("-5", 45);
        check("60", 45);
        check("300", 270);
        check("\"3600\"", 3570);
        check("1e300", 45);
    }
}
