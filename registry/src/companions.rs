//! Names of tags that stand for a digest: the fallback tag of referrers and cosign's.

use kiln_store::Digest;

/// The suffixes of cosign's tags: signatures, attestations, bills of materials.
pub(crate) const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// The longest algorithm and digits in such a tag (distribution-spec, "Referrers Tag Schema").
const LONGEST: (usize, usize) = (32, 64);

/// The tag under which the referrers of a manifest are listed where a registry does not list them by itself.
pub(crate) fn fallback_tag(subject: &Digest) -> String {
    let (algorithm, digits) = (subject.algorithm().name(), subject.hex());
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    format!("{}-{}", cut(algorithm, LONGEST.0), cut(&digits, LONGEST.1))
}

/// Whether a tag was made from a digest and says what it is: `sha256-<hex>.sig`. The fallback tag itself is none: its list is made anew at the target.
pub(crate) fn is_about(tag: &str, subject: &Digest) -> bool {
    tag.strip_prefix(&fallback_tag(subject))
        .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_digest() {
        let digest = Digest::sha256(b"x");
        let prefix = format!("sha256-{}", digest.hex());
        assert_eq!(fallback_tag(&digest), prefix);
        for suffix in SUFFIXES {
            assert!(is_about(&format!("{prefix}{suffix}"), &digest));
        }
        for other in [
            prefix.clone(),
            format!("{prefix}."),
            format!("{prefix}-cache"),
            "sha256-0.sig".to_owned(),
        ] {
            assert!(!is_about(&other, &digest), "{other}");
        }
        let long = Digest::of(kiln_store::Algorithm::Sha512, b"x");
        assert_eq!(fallback_tag(&long).len(), "sha512-".len() + 64);
    }
}
