//! The entry: settings in, repositories and answers out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_store::{Descriptor, Reference};
use reqwest::Method;

use crate::auth::Scopes;
use crate::content::{ManifestName, Repository, Resolved};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::ClientOptions;
use crate::remote::{Access, RemoteRepository};
use crate::routes::{Endpoint, Source};
use crate::transport::{Meter, Request, Transport};

/// Access to registries. Cheap to clone; clones share connections, tokens and limits. It belongs to the tokio runtime that it is used on.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Arc<Transport>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Client {
    /// A client with these settings. No file is read and nothing is sent yet.
    pub fn new(options: ClientOptions) -> Result<Self> {
        if options.attempts == 0 {
            return Err(Error::Options(
                "the number of attempts must be at least 1".to_owned(),
            ));
        }
        let transport = Arc::new(Transport::new(Arc::new(options)));
        Ok(Self {
            inner: Arc::new(Inner {
                transport,
                hosts: Mutex::default(),
            }),
        })
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// The host behind an endpoint; all handles share it.
    pub(crate) fn host(&self, endpoint: Endpoint) -> Result<Arc<Host>> {
        let mut hosts = self
            .inner
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = endpoint.key();
        if let Some(host) = hosts.get(&key) {
            return Ok(host.clone());
        }
        let host = Arc::new(Host::new(endpoint, self.inner.transport.clone())?);
        hosts.insert(key, host.clone());
        Ok(host)
    }

    /// A handle to the repository of a reference, with the places where it is read. One that is blocked refuses every request.
    pub fn repository(&self, reference: &Reference, access: Access) -> RemoteRepository {
        self.routed(reference, access).unwrap_or_else(|error| {
            RemoteRepository::refused(reference, &error.to_string(), self.inner.transport.clone())
        })
    }

    fn routed(&self, reference: &Reference, access: Access) -> Result<RemoteRepository> {
        let transport = self.transport();
        let way = transport
            .options()
            .routes
            .way(reference, access != Access::Pull)?;
        if let Some(because) = &way.because {
            transport.explain(|| {
                let places = way.mirrors.iter().chain([&way.origin]);
                let places: Vec<String> = places
                    .map(|place| format!("{}/{}", place.endpoint.name, place.path))
                    .collect();
                let name = reference.repository();
                format!("{name} is at {} by {because}", places.join(", then "))
            });
        }
        let open = |source: &Source| -> Result<RemoteRepository> {
            let host = self.host(source.endpoint.clone())?;
            Ok(RemoteRepository::new(host, &source.path, access)
                .for_namespace(source.namespace.clone()))
        };
        let mirrors = way
            .mirrors
            .iter()
            .map(|mirror| Ok((open(mirror)?, mirror.from)));
        let mirrors = mirrors.collect::<Result<Vec<_>>>()?;
        Ok(open(&way.origin)?.behind(mirrors))
    }

    /// What a short name stands for by the aliases of the routes, and the file that says so.
    pub fn alias(&self, name: &str) -> Option<(&str, &str)> {
        self.transport().options().routes.alias(name)
    }

    /// The manifest or index that a reference names, with its bytes.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved> {
        self.repository(reference, Access::Pull)
            .manifest(&name_of(reference))
            .await
    }

    /// The descriptor of what a reference names, without fetching it where the registry can tell.
    pub async fn digest(&self, reference: &Reference) -> Result<Descriptor> {
        let found = self
            .repository(reference, Access::Pull)
            .head_manifest(&name_of(reference))
            .await?;
        found.ok_or_else(|| Error::NotFound(reference.to_string()))
    }

    /// The tags of a repository, sorted.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        self.repository(reference, Access::Pull).tags().await
    }

    /// Deletes the manifest that a reference names, with every tag that points at it; gives its descriptor.
    pub async fn delete(&self, reference: &Reference) -> Result<Descriptor> {
        let repository = self.repository(reference, Access::Delete);
        let found = repository.head_manifest(&name_of(reference)).await?;
        let descriptor = found.ok_or_else(|| Error::NotFound(reference.to_string()))?;
        repository
            .delete_manifest(&ManifestName::Digest(descriptor.digest))
            .await?;
        Ok(descriptor)
    }

    /// Checks that a registry answers and takes our credentials (`kiln login`).
    pub async fn check_login(&self, registry: &str) -> Result<()> {
        let host = self.host(Endpoint::of(registry))?;
        let meter: Arc<Meter> = Arc::default();
        let request = Request::new(Method::GET, host.url("", &meter).await?, meter);
        let answer = host.send(&request, "", &Scopes::none()).await?;
        if !answer.status().is_success() {
            return Err(answer.into_error().await);
        }
        answer.finish().await;
        Ok(())
    }
}

/// The manifest that a reference names: its digest decides over its tag, and no tag means `latest`.
pub(crate) fn name_of(reference: &Reference) -> ManifestName {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestName::Digest(*digest),
        (None, Some(tag)) => ManifestName::Tag(tag.to_owned()),
        (None, None) => ManifestName::Tag("latest".to_owned()),
    }
}
