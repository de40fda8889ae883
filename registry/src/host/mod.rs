//! One registry: how it is reached, who we are there, and what it was seen to do.

mod learned;
mod profile;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::sync::watch;
use url::Url;

use crate::auth::{Asking, Authenticator, Scopes};
use crate::error::{Error, Result};
use crate::options::{ClientOptions, HostOptions, Tls};
use crate::routes::Endpoint;
use crate::source::blocking;
use crate::transport::{Answer, Meter, Request, Transport, Trust, is_loopback};

pub(crate) use learned::Mounts;
pub use learned::{HostKnowledge, HostMemory, UploadWay, parse_size};
use profile::Profile;

/// A registry as this process knows it.
#[derive(Debug)]
pub(crate) struct Host {
    /// As in references.
    name: String,
    endpoint: Endpoint,
    settings: HostOptions,
    headers: HeaderMap,
    /// True once it could not be reached: a mirror is then passed over.
    down: AtomicBool,
    transport: Arc<Transport>,
    trust: Trust,
    tls: Tls,
    authenticator: Authenticator,
    /// `https` or `http`, once that is certain.
    scheme: Mutex<Option<&'static str>>,
    mounts: watch::Sender<Mounts>,
    profile: &'static Profile,
    upload_way: Mutex<UploadWay>,
    /// Set once the memory of earlier runs has been read.
    recalled: tokio::sync::OnceCell<()>,
}

/// The one who finds out what mounts do. Dropped without a result, it leaves them unknown.
pub(crate) struct Learning<'a>(&'a Host);

impl Drop for Learning<'_> {
    fn drop(&mut self) {
        self.0.mounts.send_if_modified(|mounts| {
            let left = *mounts == Mounts::Learning;
            if left {
                *mounts = Mounts::Unknown;
            }
            left
        });
    }
}

impl Host {
    pub(crate) fn new(endpoint: Endpoint, transport: Arc<Transport>) -> Result<Self> {
        let settings = settings_of(&endpoint, transport.options());
        let headers = headers_of(&settings, &endpoint.name)?;
        Ok(Self::with(endpoint, settings, headers, transport))
    }

    /// A host without settings, for a handle that will not ask it.
    pub(crate) fn plain(endpoint: Endpoint, transport: Arc<Transport>) -> Self {
        Self::with(
            endpoint,
            HostOptions::default(),
            HeaderMap::new(),
            transport,
        )
    }

    fn with(
        endpoint: Endpoint,
        settings: HostOptions,
        headers: HeaderMap,
        transport: Arc<Transport>,
    ) -> Self {
        let options: &ClientOptions = transport.options();
        let name = endpoint.name.clone();
        let configured = settings.tls;
        let profile = profile::of(&name);
        let way = settings.upload.unwrap_or(profile.first);
        let tls = configured.unwrap_or(if is_loopback(&endpoint.authority) {
            Tls::Plain
        } else {
            Tls::Verify
        });
        let scheme = match (configured, tls) {
            (_, Tls::Verify) => Some("https"),
            (Some(_), Tls::Plain) => Some("http"),
            // Loopback without a word from the user: plain HTTP, unless that proves wrong.
            (None, Tls::Plain) | (_, Tls::Insecure) => None,
        };
        let registry = if endpoint.settings.is_some() {
            let key = endpoint.key();
            transport.know(&key, &settings);
            key
        } else {
            name.clone()
        };
        Self {
            authenticator: Authenticator::new(&name, options.credentials.clone()),
            name,
            endpoint,
            settings,
            headers,
            down: AtomicBool::new(false),
            trust: Trust {
                registry,
                verify: tls != Tls::Insecure,
            },
            tls,
            scheme: Mutex::new(scheme),
            mounts: watch::Sender::new(Mounts::Unknown),
            profile,
            upload_way: Mutex::new(way),
            recalled: tokio::sync::OnceCell::new(),
            transport,
        }
    }

    /// Whether it was found out of reach.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn saw_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// False for a registry whose certificates and addresses are not checked.
    pub(crate) fn verifies(&self) -> bool {
        self.trust.verify
    }

    /// What is known of registries like it.
    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Reads what earlier runs found out, once. What was found out only saves requests, so a memory that fails is none.
    pub(crate) async fn recall(&self) {
        let Some(memory) = self.transport.options().memory.clone() else {
            return;
        };
        self.recalled
            .get_or_init(|| async {
                let name = self.name.clone();
                let recalled = blocking("the record of a registry", move || memory.recall(&name));
                let knowledge = recalled.await.unwrap_or_default().if_recent(now());
                let fixed = self.settings.upload.is_some();
                if let Some(way) = knowledge.upload.filter(|_| !fixed) {
                    *self.way() = way;
                }
                if knowledge.mounts == Some(true) {
                    self.mounts.send_if_modified(|mounts| {
                        let unknown = *mounts == Mounts::Unknown;
                        if unknown {
                            *mounts = Mounts::Work;
                        }
                        unknown
                    });
                }
                self.transport
                    .explain(|| format!("{}: known from earlier runs: {knowledge:?}", self.name));
            })
            .await;
    }

    /// Writes down what is known now.
    async fn keep(&self) {
        let Some(memory) = self.transport.options().memory.clone() else {
            return;
        };
        let way = *self.way();
        let knowledge = HostKnowledge {
            upload: (way != self.profile.first).then_some(way),
            mounts: (self.mounts() == Mounts::Work).then_some(true),
            seen: now(),
        };
        let name = self.name.clone();
        // Only requests are lost with it.
        let _ = blocking("the record of a registry", move || {
            memory.keep(&name, &knowledge)
        })
        .await;
    }

    fn way(&self) -> std::sync::MutexGuard<'_, UploadWay> {
        self.upload_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The way that worked last.
    pub(crate) fn upload_way(&self) -> UploadWay {
        *self.way()
    }

    pub(crate) async fn saw_upload_way(&self, way: UploadWay) {
        let changed = std::mem::replace(&mut *self.way(), way) != way;
        if changed {
            self.keep().await;
        }
    }

    /// What is known of mounts now.
    pub(crate) fn mounts(&self) -> Mounts {
        *self.mounts.borrow()
    }

    /// What is known of mounts when nobody is about to find out more.
    pub(crate) async fn settled_mounts(&self) -> Mounts {
        let mut receiver = self.mounts.subscribe();
        match receiver
            .wait_for(|mounts| *mounts != Mounts::Learning)
            .await
        {
            Ok(mounts) => *mounts,
            // The sender is ours.
            Err(_) => Mounts::Unknown,
        }
    }

    /// Becomes the one who finds out, if nobody knows and nobody else is at it.
    pub(crate) fn learn_mounts(&self) -> Option<Learning<'_>> {
        let ours = self.mounts.send_if_modified(|mounts| {
            let unknown = *mounts == Mounts::Unknown;
            if unknown {
                *mounts = Mounts::Learning;
            }
            unknown
        });
        ours.then_some(Learning(self))
    }

    pub(crate) async fn saw_mounts(&self, seen: Mounts) {
        if self.mounts.send_replace(seen) != seen {
            self.keep().await;
        }
    }

    /// The URL of a path below `/v2/`.
    pub(crate) async fn url(&self, path: &str, meter: &Arc<Meter>) -> Result<Url> {
        let known = *self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        let scheme = match known {
            Some(scheme) => scheme,
            None => self.find_scheme(meter).await?,
        };
        self.url_with(scheme, path)
    }

    fn url_with(&self, scheme: &str, path: &str) -> Result<Url> {
        let Endpoint {
            authority, prefix, ..
        } = &self.endpoint;
        Url::parse(&format!("{scheme}://{authority}{prefix}{path}"))
            .map_err(|error| Error::protocol(&self.name, format!("it is not a host name: {error}")))
    }

    /// Finds out whether a registry without TLS settings speaks TLS. Loopback is taken for plain HTTP without asking: the usual case costs nothing.
    async fn find_scheme(&self, meter: &Arc<Meter>) -> Result<&'static str> {
        if self.tls == Tls::Plain {
            return Ok("http");
        }
        let request = Request::new(Method::GET, self.url_with("https", "")?, meter.clone());
        let scheme = match self.transport.exchange(&request, None, &self.trust).await {
            Ok(answer) => {
                answer.finish().await;
                "https"
            }
            Err(Error::Network { .. }) => "http",
            Err(error) => return Err(error),
        };
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
        Ok(scheme)
    }

    /// Sends a request with whatever the registry wants for it. Any answer but a refusal of access is given back.
    pub(crate) async fn send(
        &self,
        request: &Request,
        repository: &str,
        scopes: &Scopes,
    ) -> Result<Answer> {
        let asking = Asking {
            transport: &self.transport,
            trust: &self.trust,
            meter: &request.meter,
            repository,
            scopes,
        };
        let ours = self.is_ours(&request.url);
        let mut request = std::borrow::Cow::Borrowed(request);
        if ours && !self.headers.is_empty() {
            request.to_mut().headers.extend(self.headers.clone());
        }
        let request = &*request;
        let mut authorization = if ours {
            self.authenticator.authorization(&asking).await?
        } else {
            None
        };
        let mut answer = self.exchange(request, authorization.as_ref()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && ours && self.is_ours(&answer.url) {
            let next = self
                .authenticator
                .challenged(&asking, &answer, authorization.as_ref())
                .await?;
            if next.is_none() {
                return Err(self.refused(answer, scopes, repository).await);
            }
            answer.finish().await;
            authorization = next;
            answer = self.exchange(request, authorization.as_ref()).await?;
        }
        if matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) && self.is_ours(&answer.url)
        {
            return Err(self.refused(answer, scopes, repository).await);
        }
        Ok(answer)
    }

    /// True for URLs of the registry itself: only they get credentials.
    fn is_ours(&self, url: &Url) -> bool {
        self.url_with(url.scheme(), "")
            .is_ok_and(|own| crate::transport::same_origin(&own, url))
            && (url.scheme() == "https" || self.is_plain())
    }

    fn is_plain(&self) -> bool {
        self.tls != Tls::Verify
    }

    /// Sends a request. The first answer of a registry that was taken for plain HTTP may be that it speaks TLS.
    async fn exchange(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer> {
        let answer = self
            .transport
            .exchange(request, authorization, &self.trust)
            .await?;
        let unsure = self.tls == Tls::Plain
            && self
                .scheme
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none();
        if !unsure {
            return Ok(answer);
        }
        let mut scheme = "http";
        if answer.status() == StatusCode::BAD_REQUEST {
            let probe = Request::new(
                Method::GET,
                self.url_with("https", "")?,
                request.meter.clone(),
            )
            .once();
            match self.transport.exchange(&probe, None, &self.trust).await {
                Ok(answer) => {
                    answer.finish().await;
                    scheme = "https";
                }
                // It speaks TLS, with a certificate that is not trusted here: that is what the user must hear.
                Err(error @ Error::Network { .. }) if error.is_about_trust() => return Err(error),
                Err(_) => {}
            }
        }
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
        if scheme == "http" {
            return Ok(answer);
        }
        let mut again = request.clone();
        // Between http and https, setting the scheme cannot fail.
        let _ = again.url.set_scheme(scheme);
        self.transport
            .exchange(&again, authorization, &self.trust)
            .await
    }

    async fn refused(&self, mut answer: Answer, scopes: &Scopes, repository: &str) -> Error {
        let status = answer.status();
        let error = answer.read_error().await;
        let said = if error.errors.is_empty() {
            error.body
        } else {
            crate::error::describe(&error.errors)
        };
        let said = if said.is_empty() {
            status.to_string()
        } else {
            said
        };
        let known = self.authenticator.describe(repository).await;
        Error::Unauthorized {
            registry: self.name.clone(),
            what: scopes.to_string(),
            reason: format!("{said}; {known}"),
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The settings that hold for an endpoint: the options' own, which the user has given for this name, before those that came with it.
fn settings_of(endpoint: &Endpoint, options: &ClientOptions) -> HostOptions {
    let mut settings = options
        .hosts
        .get(&endpoint.name)
        .cloned()
        .unwrap_or_default();
    settings.upload = settings.upload.or(options.upload);
    if let Some(own) = &endpoint.settings {
        settings.tls = settings.tls.or(own.tls);
        settings.upload = settings.upload.or(own.upload);
        settings.proxy = settings.proxy.or_else(|| own.proxy.clone());
        settings
            .certificate_authorities
            .extend(own.certificate_authorities.iter().cloned());
        settings
            .client_certificates
            .extend(own.client_certificates.iter().cloned());
        settings.headers.extend(own.headers.iter().cloned());
    }
    settings
}

fn headers_of(settings: &HostOptions, name: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (header, value) in &settings.headers {
        let wrong = || Error::Options(format!("the header `{header}` for {name} cannot be sent"));
        let name = HeaderName::try_from(header.as_str()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        // Proxies take tokens in headers of their own.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}
