//! What is known of registries before a word was exchanged, as data.
//!
//! Sources are the issue trackers of the registries' users; a wrong entry costs some requests, never a failure: what a registry answers decides.

use super::learned::UploadWay;

/// What one registry, or a kind of them, is known to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Host names: exact, or all below a domain if it begins with a dot, or all that contain it if it ends with one too.
    hosts: &'static [&'static str],
    /// How a blob is sent first.
    pub(crate) first: UploadWay,
    /// The size of a piece where whole blobs are refused.
    pub(crate) chunk: u64,
    /// Whether an upload may consist of several PATCH requests.
    pub(crate) chunks: bool,
}

const MIB: u64 = 1 << 20;

/// A registry of which nothing is known. Pieces of 32 MiB: below the 100 MB of the best known front end, large enough that latency does not count.
const OTHER: Profile = Profile {
    hosts: &[],
    first: UploadWay::Put,
    chunk: 32 * MIB,
    chunks: true,
};

const KNOWN: &[Profile] = &[
    Profile {
        hosts: &["docker.io", "quay.io", "registry.gitlab.com", ".jfrog.io"],
        ..OTHER
    },
    // Pieces above 4 MiB are refused with 416.
    Profile {
        hosts: &["ghcr.io"],
        chunk: 4 * MIB,
        ..OTHER
    },
    // Parts of 5 to 10 MiB; the answered range stands still.
    Profile {
        hosts: &[".dkr.ecr.", "public.ecr.aws"],
        chunk: 10 * MIB,
        ..OTHER
    },
    // One PATCH at most.
    Profile {
        hosts: &["gcr.io", ".gcr.io", ".pkg.dev"],
        chunks: false,
        ..OTHER
    },
    // Reports of 413 above 20 MB for whole blobs.
    Profile {
        hosts: &[".azurecr.io"],
        chunk: 16 * MIB,
        ..OTHER
    },
];

/// The profile of a registry, by its name in references.
pub(crate) fn of(registry: &str) -> &'static Profile {
    let host = registry.split(':').next().unwrap_or(registry);
    let fits = |pattern: &str| match (pattern.starts_with('.'), pattern.ends_with('.')) {
        (true, true) => host.contains(pattern),
        (true, false) => host.ends_with(pattern),
        _ => host == pattern,
    };
    KNOWN
        .iter()
        .find(|profile| profile.hosts.iter().any(|pattern| fits(pattern)))
        .unwrap_or(&OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, chunk, chunks) in [
            ("docker.io", 32, true),
            ("ghcr.io", 4, true),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", 10, true),
            ("public.ecr.aws", 10, true),
            ("europe-docker.pkg.dev", 32, false),
            ("eu.gcr.io", 32, false),
            ("team.azurecr.io", 16, true),
            ("registry.example:5000", 32, true),
            ("notghcr.io", 32, true),
            ("[::1]:5000", 32, true),
        ] {
            let profile = of(name);
            assert_eq!(
                (profile.chunk, profile.chunks),
                (chunk * MIB, chunks),
                "{name}"
            );
        }
    }
}
