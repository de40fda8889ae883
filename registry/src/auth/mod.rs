//! Proving who we are to one registry.
//!
//! Nothing is sent unasked: the first answer of a registry tells what it wants, and that is remembered. Tokens are kept per set of scopes, renewed
//! before they end, and asked for once however many requests wait for them (the slot of a scope set is locked while its token is fetched).

mod challenge;
mod scope;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use url::Url;

use crate::credentials::{Credential, Credentials, Found};
use crate::error::{Error, Result};
use crate::transport::{self, Answer, Meter, Transport, Trust};

use challenge::Challenge;
pub(crate) use scope::Scopes;
use token::{Token, TokenRequest};

/// What a registry wants.
#[derive(Clone, Debug)]
enum Demand {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// A slot holds the token of one scope set; its lock is held while the token is fetched.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The authentication with one registry, shared by all requests to it.
#[derive(Debug)]
pub(crate) struct Authenticator {
    registry: String,
    credentials: Credentials,
    demand: Mutex<Option<Demand>>,
    /// Scopes as callers name them, and as the registry wanted them in the end.
    widened: Mutex<HashMap<Scopes, Scopes>>,
    tokens: Mutex<HashMap<(String, Scopes), Slot>>,
}

/// A request's context for authentication.
#[derive(Clone, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) trust: &'a Trust,
    pub(crate) meter: &'a Arc<Meter>,
    /// The repository that the request is about.
    pub(crate) repository: &'a str,
    pub(crate) scopes: &'a Scopes,
}

impl Authenticator {
    pub(crate) fn new(registry: &str, credentials: Credentials) -> Self {
        Self {
            registry: registry.to_owned(),
            credentials,
            demand: Mutex::default(),
            widened: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// The header for a request, as far as is known what the registry wants.
    pub(crate) async fn authorization(&self, asking: &Asking<'_>) -> Result<Option<HeaderValue>> {
        let demand = self
            .demand
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match demand {
            None => Ok(None),
            Some(demand) => {
                let widened = self
                    .widened
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(asking.scopes)
                    .cloned();
                self.answer(
                    &demand,
                    asking,
                    widened.as_ref().unwrap_or(asking.scopes),
                    None,
                    None,
                )
                .await
            }
        }
    }

    /// Takes in a 401 and gives the header for another try. `used` is the header that was refused.
    pub(crate) async fn challenged(
        &self,
        asking: &Asking<'_>,
        answer: &Answer,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let values = answer.headers().get_all(WWW_AUTHENTICATE);
        let challenges = challenge::parse(values.iter().filter_map(|value| value.to_str().ok()));
        let (demand, scope) = self.choose(&challenges, &answer.url, asking)?;
        *self.demand.lock().unwrap_or_else(PoisonError::into_inner) = Some(demand.clone());
        let scopes = match &scope {
            // What the registry wants for this request, besides what the caller knows it will want.
            Some(scope) => asking.scopes.and_challenged(scope),
            None => asking.scopes.clone(),
        };
        if scopes != *asking.scopes {
            self.widened
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(asking.scopes.clone(), scopes.clone());
        }
        self.answer(&demand, asking, &scopes, scope.as_deref(), used)
            .await
    }

    /// Whether any credential is known for a repository, for the words of an error.
    pub(crate) async fn describe(&self, repository: &str) -> String {
        match self.credential(repository).await {
            Ok(Some(found)) => format!("the credentials from {} were sent", found.origin),
            Ok(None) => format!(
                "no credentials are known for it; `kiln login {}` stores them",
                self.registry
            ),
            Err(error) => error.to_string(),
        }
    }

    /// Bearer before Basic, as it never sends the password to the registry itself.
    fn choose(
        &self,
        challenges: &[Challenge],
        from: &Url,
        asking: &Asking<'_>,
    ) -> Result<(Demand, Option<String>)> {
        if let Some(bearer) = challenges
            .iter()
            .find(|challenge| challenge.scheme == "bearer" && challenge.get("realm").is_some())
        {
            let realm = bearer.get("realm").unwrap_or_default();
            let realm = from.join(realm).map_err(|_| {
                Error::protocol(
                    from,
                    format!("the realm `{}` is not a URL", realm.escape_debug()),
                )
            })?;
            transport::check_address(from, &realm, !asking.trust.verify)?;
            let service = bearer.get("service").map(str::to_owned);
            return Ok((
                Demand::Bearer { realm, service },
                bearer.get("scope").map(str::to_owned),
            ));
        }
        if challenges
            .iter()
            .any(|challenge| challenge.scheme == "basic")
        {
            return Ok((Demand::Basic, None));
        }
        let schemes: Vec<&str> = challenges
            .iter()
            .map(|challenge| challenge.scheme.as_str())
            .collect();
        let wanted = if schemes.is_empty() {
            "does not say how".to_owned()
        } else {
            format!("wants {}", schemes.join(" or "))
        };
        Err(self.refused(
            asking,
            format!("it asks for authentication and {wanted}; kiln knows Basic and Bearer"),
        ))
    }

    async fn answer(
        &self,
        demand: &Demand,
        asking: &Asking<'_>,
        scopes: &Scopes,
        challenged: Option<&str>,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let found = self.credential(asking.repository).await?;
        asking.transport.explain(|| match &found {
            Some(found) => format!(
                "{}: the credentials are those from {}",
                self.registry, found.origin
            ),
            None => format!("{}: no credentials are known", self.registry),
        });
        let credential = found.as_ref().map(|found| &found.credential);
        match (demand, credential) {
            (_, Some(Credential::Registry(token))) => {
                unless_used(token::bearer_header(token)?, used)
            }
            (Demand::Basic, Some(Credential::Basic { username, password })) => {
                unless_used(token::basic_header(username, password)?, used)
            }
            (Demand::Basic, Some(Credential::Identity { .. })) => Err(self.refused(
                asking,
                "it wants a password, and only an identity token is known".to_owned(),
            )),
            (Demand::Basic, None) => Ok(None),
            (Demand::Bearer { realm, service }, credential) => {
                let request = TokenRequest {
                    transport: asking.transport,
                    trust: asking.trust,
                    meter: asking.meter.clone(),
                    registry: &self.registry,
                    realm,
                    service: service.as_deref(),
                    scopes,
                    challenged,
                    credential,
                };
                // Path-scoped credentials make tokens of different users for the same scopes.
                let owner = found
                    .as_ref()
                    .map_or_else(String::new, |found| found.origin.clone());
                self.token(&request, owner, used).await.map(Some)
            }
        }
    }

    /// A fresh token for the scopes, fetched once for all that wait for it.
    async fn token(
        &self,
        request: &TokenRequest<'_>,
        owner: String,
        used: Option<&HeaderValue>,
    ) -> Result<HeaderValue> {
        let slot = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens
                .entry((owner, request.scopes.clone()))
                .or_default()
                .clone()
        };
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.is_fresh()) {
            let header = token::bearer_header(&token.value)?;
            if Some(&header) != used {
                return Ok(header);
            }
        }
        let token = request.send().await?;
        let header = token::bearer_header(&token.value)?;
        *slot = Some(token);
        Ok(header)
    }

    /// Looks the credential up on a blocking thread: a helper may run.
    async fn credential(&self, repository: &str) -> Result<Option<Found>> {
        let (credentials, registry, repository) = (
            self.credentials.clone(),
            self.registry.clone(),
            repository.to_owned(),
        );
        tokio::task::spawn_blocking(move || credentials.find(&registry, &repository))
            .await
            .map_err(|_| Error::Interrupted("the look-up of credentials".to_owned()))?
    }

    fn refused(&self, asking: &Asking<'_>, reason: String) -> Error {
        Error::Unauthorized {
            registry: self.registry.clone(),
            what: asking.scopes.to_string(),
            reason,
        }
    }
}

/// No header if this one was just refused: sending it again is of no use.
fn unless_used(header: HeaderValue, used: Option<&HeaderValue>) -> Result<Option<HeaderValue>> {
    Ok(Some(header).filter(|header| Some(header) != used))
}
