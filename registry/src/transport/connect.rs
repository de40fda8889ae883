//! Connections: one pool for small requests (HTTP/2 over TLS), one for blobs (HTTP/1.1, a connection each), per kind of trust.
//!
//! One TCP window shared by many large bodies is slower than a connection each; many small requests are faster on one HTTP/2 connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{NoProxy, Proxy, redirect};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use url::Url;

use crate::error::{Error, Result, chain};
use crate::options::{ClientCertificate, ClientOptions, HostOptions};

/// What kind of body a request moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Manifests, checks, tokens.
    Metadata,
    /// Blobs.
    Bulk,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// The registry whose own authorities count besides the general ones.
    pub(crate) registry: String,
    /// False: any certificate, and plain HTTP.
    pub(crate) verify: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    Plain { registry: String },
    Tls { class: Class, trust: Trust },
}

/// The pools, made when first needed: reading the system's certificates takes milliseconds that a loopback registry need not pay.
pub(crate) struct Connections {
    options: Arc<ClientOptions>,
    /// Settings of endpoints that differ from those of the options, by what [`Trust::registry`] calls them.
    own: Mutex<HashMap<String, HostOptions>>,
    lanes: Mutex<HashMap<Lane, reqwest::Client>>,
}

impl Connections {
    pub(crate) fn new(options: Arc<ClientOptions>) -> Self {
        Self {
            options,
            own: Mutex::default(),
            lanes: Mutex::default(),
        }
    }

    /// Makes the settings of an endpoint known.
    pub(crate) fn know(&self, name: &str, settings: &HostOptions) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.insert(name.to_owned(), settings.clone());
    }

    fn settings(&self, name: &str) -> Option<HostOptions> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.get(name)
            .or_else(|| self.options.hosts.get(name))
            .cloned()
    }

    /// The pool for a request to `url`.
    pub(crate) fn client(&self, url: &Url, class: Class, trust: &Trust) -> Result<reqwest::Client> {
        let settings = self.settings(&trust.registry);
        let is_own = |own: &dyn Fn(&HostOptions) -> bool| match settings.as_ref().is_some_and(own) {
            true => trust.registry.clone(),
            // Registries without settings of their own share connections with each other's redirect targets.
            false => String::new(),
        };
        let lane = if url.scheme() == "https" {
            let registry = is_own(&|host| {
                !host.certificate_authorities.is_empty()
                    || !host.client_certificates.is_empty()
                    || host.proxy.is_some()
            });
            Lane::Tls {
                class,
                trust: Trust {
                    registry,
                    verify: trust.verify,
                },
            }
        } else {
            Lane::Plain {
                registry: is_own(&|host| host.proxy.is_some()),
            }
        };
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = lanes.get(&lane) {
            return Ok(client.clone());
        }
        let client = self.build(&lane)?;
        lanes.insert(lane, client.clone());
        Ok(client)
    }

    fn build(&self, lane: &Lane) -> Result<reqwest::Client> {
        let options = &self.options;
        let mut builder = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .connect_timeout(options.timeouts.connect)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tls_backend_preconfigured(self.tls_config(lane)?);
        for proxy in self.proxies(lane)? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| {
            Error::Options(format!("cannot set up connections: {}", chain(&error)))
        })
    }

    fn proxies(&self, lane: &Lane) -> Result<Vec<Proxy>> {
        let (Lane::Plain { registry }
        | Lane::Tls {
            trust: Trust { registry, .. },
            ..
        }) = lane;
        if let Some(url) = self.settings(registry).and_then(|host| host.proxy) {
            let wrong = |error: reqwest::Error| {
                Error::Options(format!(
                    "cannot use the proxy of {registry}: {}",
                    chain(&error)
                ))
            };
            return Ok(vec![Proxy::all(url).map_err(wrong)?]);
        }
        // Loopback is always reached directly, as Go's programs have it.
        let no_proxy = NoProxy::from_string(&format!(
            "localhost,127.0.0.0/8,::1,{}",
            self.options.proxies.no_proxy
        ));
        let wrong = |error: reqwest::Error| {
            Error::Options(format!("cannot use the proxy: {}", chain(&error)))
        };
        let mut proxies = Vec::new();
        if let Some(url) = &self.options.proxies.http {
            proxies.push(
                Proxy::http(url.clone())
                    .map_err(wrong)?
                    .no_proxy(no_proxy.clone()),
            );
        }
        if let Some(url) = &self.options.proxies.https {
            proxies.push(Proxy::https(url.clone()).map_err(wrong)?.no_proxy(no_proxy));
        }
        Ok(proxies)
    }

    fn tls_config(&self, lane: &Lane) -> Result<ClientConfig> {
        // The provider is named here and not installed for the whole process: that belongs to the program, not to a library.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Options(format!("cannot set up TLS: {error}")))?;
        let Lane::Tls { class, trust } = lane else {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        };
        let builder = if trust.verify {
            let extra = self.authorities(&trust.registry)?;
            match system_verifier(&extra, &provider) {
                Some(verifier) => builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier)),
                // No certificates on this machine (an empty container): the bundled ones.
                None => builder.with_root_certificates(bundled_roots(&extra)),
            }
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        };
        let client = self
            .settings(&trust.registry)
            .map(|host| host.client_certificates);
        let mut config = match client.as_deref().and_then(<[_]>::first) {
            Some(certificate) => identify(builder, certificate)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match class {
            Class::Metadata => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Class::Bulk => vec![b"http/1.1".to_vec()],
        };
        Ok(config)
    }

    fn authorities(&self, registry: &str) -> Result<Vec<CertificateDer<'static>>> {
        let own = self
            .settings(registry)
            .map(|host| host.certificate_authorities)
            .unwrap_or_default();
        let mut certificates = Vec::new();
        for text in self.options.certificate_authorities.iter().chain(&own) {
            let before = certificates.len();
            for certificate in CertificateDer::pem_slice_iter(text) {
                certificates.push(certificate.map_err(|error| {
                    Error::Options(format!(
                        "a file of certificate authorities is not PEM: {error}"
                    ))
                })?);
            }
            if certificates.len() == before {
                return Err(Error::Options(
                    "a file of certificate authorities holds no certificate".to_owned(),
                ));
            }
        }
        Ok(certificates)
    }
}

/// Shows the client's own certificate to a server that asks for one.
fn identify(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &ClientCertificate,
) -> Result<ClientConfig> {
    let wrong =
        |problem: String| Error::Options(format!("a client certificate cannot be used: {problem}"));
    let chain = CertificateDer::pem_slice_iter(&certificate.chain)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| wrong(format!("it is not PEM: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose())
        .map_err(|error| wrong(format!("its key is not PEM: {error}")))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong(error.to_string()))
}

/// The platform's verifier, if the platform has any certificates: with extra ones alone it would start too.
fn system_verifier(
    extra: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Option<rustls_platform_verifier::Verifier> {
    use rustls_platform_verifier::Verifier;
    let bare = Verifier::new(provider.clone()).ok()?;
    if extra.is_empty() {
        Some(bare)
    } else {
        Verifier::new_with_extra_roots(extra.iter().cloned(), provider.clone()).ok()
    }
}

fn bundled_roots(extra: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    roots.add_parsable_certificates(extra.iter().cloned());
    roots
}

/// Believes every certificate; used only for registries that the user calls insecure.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
