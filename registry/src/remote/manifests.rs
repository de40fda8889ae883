//! Manifests: by tag or digest, verified, with the media type made certain.

use bytes::Bytes;
use kiln_store::{Descriptor, Digest, MANIFEST_LIMIT, media_type};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::content::{ManifestName, Resolved};
use crate::error::{Error, Result};
use crate::transport::{Payload, Request};

use super::RemoteRepository;

/// The header that names a digest. Early registries leave it out, ECR has sent it empty.
const DIGEST_HEADER: &str = "docker-content-digest";

/// By this header a registry says that it lists the manifest among its subject's referrers.
const SUBJECT_HEADER: &str = "oci-subject";

/// All kinds of manifests kiln reads, in one header: some registries read only the first of several.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/json;q=0.5";

impl RemoteRepository {
    async fn manifest_request(&self, method: Method, name: &ManifestName) -> Result<Request> {
        let request = self.request(method, &format!("manifests/{name}")).await?;
        Ok(request.header(ACCEPT, HeaderValue::from_static(ACCEPTED)))
    }

    pub(super) async fn head_manifest_inner(
        &self,
        name: &ManifestName,
    ) -> Result<Option<Descriptor>> {
        let answer = self
            .send(&self.manifest_request(Method::HEAD, name).await?)
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return self.head_by_get(name).await,
        }
        let digest = answer
            .header_named(DIGEST_HEADER)
            .and_then(|text| text.parse::<Digest>().ok());
        let size = answer
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse::<u64>().ok());
        let kind = answer.media_type();
        match (digest, size) {
            (Some(digest), Some(size))
                if media_type::is_manifest(kind) || media_type::is_index(kind) =>
            {
                Ok(Some(Descriptor::new(kind, digest, size)))
            }
            // A head that does not say enough.
            _ => self.head_by_get(name).await,
        }
    }

    async fn head_by_get(&self, name: &ManifestName) -> Result<Option<Descriptor>> {
        match self.get_manifest(name).await {
            Ok(resolved) => Ok(Some(resolved.descriptor)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_manifest(&self, name: &ManifestName) -> Result<Resolved> {
        let answer = self
            .send(&self.manifest_request(Method::GET, name).await?)
            .await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NotFound(self.shown(name))),
            _ => return Err(answer.into_error().await),
        }
        let declared = answer.media_type().to_owned();
        let announced = answer
            .header_named(DIGEST_HEADER)
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        let bytes = answer.bytes(MANIFEST_LIMIT).await?;
        let shown = self.shown(name);
        let digest = match name {
            ManifestName::Digest(digest) => {
                verify(&shown, digest, &bytes)?;
                *digest
            }
            ManifestName::Tag(_) => match announced.and_then(|text| text.parse::<Digest>().ok()) {
                Some(digest) => {
                    verify(&shown, &digest, &bytes)?;
                    digest
                }
                None => Digest::sha256(&bytes),
            },
        };
        let kind = decide_media_type(&shown, &declared, &bytes)?;
        Ok(Resolved {
            descriptor: Descriptor::new(kind, digest, bytes.len() as u64),
            bytes,
        })
    }

    pub(super) async fn put_manifest_inner(
        &self,
        name: &ManifestName,
        manifest: &Resolved,
    ) -> Result<()> {
        let kind = HeaderValue::from_str(&manifest.descriptor.media_type).map_err(|_| {
            Error::protocol(
                self.shown(name),
                "its media type has characters that cannot be sent",
            )
        })?;
        let request = self
            .request(Method::PUT, &format!("manifests/{name}"))
            .await?
            .header(CONTENT_TYPE, kind)
            .payload(Payload::Bytes(manifest.bytes.clone()))
            .slow();
        let answer = self.send(&request).await?;
        if !answer.status().is_success() {
            return Err(answer.into_error().await);
        }
        let stored = answer
            .header_named(DIGEST_HEADER)
            .and_then(|text| text.parse::<Digest>().ok());
        let expected = &manifest.descriptor.digest;
        if let Some(stored) =
            stored.filter(|stored| stored.algorithm() == expected.algorithm() && stored != expected)
        {
            return Err(Error::Corrupt {
                what: format!("{} as stored by the registry", self.shown(name)),
                expected: expected.to_string(),
                actual: stored.to_string(),
            });
        }
        let lists_referrers = answer.header_named(SUBJECT_HEADER).is_some();
        answer.finish().await;
        if lists_referrers {
            return Ok(());
        }
        self.list_referrer(manifest).await
    }

    /// Deletes a manifest, by digest, or a tag where the registry can.
    pub async fn delete_manifest(&self, name: &ManifestName) -> Result<()> {
        let answer = self
            .send(
                &self
                    .request(Method::DELETE, &format!("manifests/{name}"))
                    .await?,
            )
            .await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Err(Error::NotFound(self.shown(name))),
            StatusCode::METHOD_NOT_ALLOWED => Err(Error::Options(format!(
                "{} does not allow {} to be deleted: its administrator must switch deletion on",
                self.host.name(),
                self.shown(name)
            ))),
            status if status.is_success() => {
                answer.finish().await;
                Ok(())
            }
            _ => Err(answer.into_error().await),
        }
    }
}

/// Checks bytes against a digest.
pub(crate) fn verify(what: &str, expected: &Digest, bytes: &[u8]) -> Result<()> {
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == *expected {
        return Ok(());
    }
    Err(Error::Corrupt {
        what: what.to_owned(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

/// What a manifest is: by its header, its own field and its shape, which must not contradict each other.
pub(crate) fn decide_media_type(what: &str, declared: &str, bytes: &Bytes) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde_json::Value>,
        layers: Option<serde_json::Value>,
        config: Option<serde_json::Value>,
    }
    let known = |kind: &str| media_type::is_manifest(kind) || media_type::is_index(kind);
    let shape: Shape = serde_json::from_slice(bytes).map_err(|_| {
        Error::protocol(
            what,
            format!("the answer is not a manifest (its type is `{declared}`)"),
        )
    })?;
    if media_type::is_schema1(declared) || shape.schema_version == Some(1) {
        let remedy = "it is in the format of before 2016 (schema 1), which nothing can verify; pull and push it once with an old docker to convert it";
        return Err(Error::protocol(what, remedy));
    }
    let own = shape.media_type.filter(|kind| !kind.is_empty());
    match own {
        Some(own) if known(declared) && own != declared => Err(Error::protocol(
            what,
            format!("it says that it is `{own}`, the registry that it is `{declared}`"),
        )),
        Some(own) if known(&own) => Ok(own),
        Some(own) => Err(Error::protocol(
            what,
            format!("kiln does not know manifests of the type `{own}`"),
        )),
        None if known(declared) => Ok(declared.to_owned()),
        None if shape.manifests.is_some() && shape.layers.is_none() => {
            Ok(media_type::OCI_INDEX.to_owned())
        }
        None if shape.config.is_some() && shape.layers.is_some() => {
            Ok(media_type::OCI_MANIFEST.to_owned())
        }
        None => Err(Error::protocol(
            what,
            format!("the answer is not a manifest (its type is `{declared}`)"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_must_agree() {
        let decide = |declared: &str, body: &str| {
            decide_media_type("x", declared, &Bytes::copy_from_slice(body.as_bytes()))
        };
        let oci = media_type::OCI_MANIFEST;
        assert_eq!(decide(oci, "{}").unwrap(), oci);
        assert_eq!(
            decide("application/json", &format!(r#"{{"mediaType":"{oci}"}}"#)).unwrap(),
            oci
        );
        assert_eq!(
            decide(
                "text/plain",
                r#"{"schemaVersion":2,"config":{},"layers":[]}"#
            )
            .unwrap(),
            oci
        );
        assert_eq!(
            decide("", r#"{"schemaVersion":2,"manifests":[]}"#).unwrap(),
            media_type::OCI_INDEX
        );
        for (declared, body) in [
            ("text/html", "<html>"),
            ("application/json", "{}"),
            (
                media_type::OCI_INDEX,
                r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
            ),
            ("application/json", r#"{"schemaVersion":1,"fsLayers":[]}"#),
            (media_type::DOCKER_SCHEMA1_SIGNED, "{}"),
            ("application/json", r#"{"mediaType":"application/x-other"}"#),
        ] {
            assert!(decide(declared, body).is_err(), "{declared} {body}");
        }
    }
}
