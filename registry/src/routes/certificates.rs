//! Folders of certificates, one for each registry: `*.crt` are authorities, `*.cert` with `*.key` a client's own certificate.
//!
//! docker and containers' tools share the form (`/etc/docker/certs.d`, `/etc/containers/certs.d`).

use crate::error::{Error, Result};
use crate::options::{ClientCertificate, HostOptions};
use crate::secret::SecretBytes;

/// Adds the files of a folder to a registry's settings; `origin` is the folder, for messages.
pub fn read_certificates(
    settings: &mut HostOptions,
    files: &[(String, Vec<u8>)],
    origin: &str,
) -> Result<()> {
    let find = |name: &str| files.iter().find(|(known, _)| known == name);
    for (name, text) in files {
        if name.ends_with(".crt") {
            settings.certificate_authorities.push(text.clone());
        } else if let Some(stem) = name.strip_suffix(".cert") {
            let key = format!("{stem}.key");
            let (_, key) = find(&key).ok_or_else(|| {
                Error::Options(format!(
                    "{origin}/{name} has no key: {origin}/{key} is missing"
                ))
            })?;
            settings.client_certificates.push(ClientCertificate {
                chain: text.clone(),
                key: SecretBytes::new(key.clone()),
            });
        } else if let Some(stem) = name.strip_suffix(".key")
            && find(&format!("{stem}.cert")).is_none()
        {
            return Err(Error::Options(format!(
                "{origin}/{name} has no certificate: {origin}/{stem}.cert is missing (authorities end in .crt, the client's own certificate in .cert)"
            )));
        }
    }
    Ok(())
}
