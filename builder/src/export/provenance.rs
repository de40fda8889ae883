//! How an image came to be, as SLSA provenance in the shape that BuildKit gives it (its slsa-definitions.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_store::Platform;
use serde_json::{Value, json};

use super::attestation::package;
use crate::graph::{Graph, Op};
use crate::request::BuildRequest;
use crate::sources::{Found, RemoteSource, Sources};

/// What the fields of the predicate mean.
const DEFINITIONS: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
const DEFINITIONS_V02: &str = "https://mobyproject.org/buildkit@v1";
/// The front-end whose parameters these are.
const FRONTEND: &str = "dockerfile.v0";

/// How much is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// Arguments, labels, the names of secrets and the Dockerfile too.
    pub max: bool,
    /// SLSA 1.0 instead of 0.2.
    pub version_1: bool,
    /// Who built it, a URI; empty if nobody says.
    pub builder_id: String,
    /// The claim that another build gives the same.
    pub reproducible: bool,
    /// When the build began and ended, in seconds since 1970.
    pub times: (i64, i64),
}

/// Something that a build took from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Where from, without passwords.
    pub uri: String,
    /// Its digest: the algorithm, and the number in hexadecimal.
    pub digest: (&'static str, String),
}

/// Everything that the steps of a graph take from elsewhere. All of it was found before, so nothing is asked again.
pub(crate) fn materials(graph: &Graph, sources: &Sources<'_>) -> Vec<Material> {
    let mut all = Vec::new();
    for vertex in &graph.vertices {
        if let Op::Image(image) = &vertex.op {
            let uri = match image.reference.parse() {
                Ok(name) => package(&name, &image.platform, Some(&image.manifest)),
                // A directory of the user's.
                Err(_) => "pkg:oci".to_owned(),
            };
            all.push(Material {
                uri,
                digest: ("sha256", image.manifest.hex().to_owned()),
            });
        }
    }
    for source in graph.remote_sources() {
        let Ok(found) = sources.find(source) else {
            continue;
        };
        all.push(match (source, found) {
            (RemoteSource::Git(git), Found::Git(commit)) => Material {
                uri: git.remote.clone(),
                digest: ("sha1", commit.hash),
            },
            (RemoteSource::Http(http), Found::Http(file)) => Material {
                uri: kiln_registry::shown_url(&http.url).to_string(),
                digest: ("sha256", file.digest.hex().to_owned()),
            },
            _ => continue,
        });
    }
    all.dedup();
    all
}

/// The kind of the predicate, and what it says.
pub fn provenance(
    request: &BuildRequest,
    materials: &[Material],
    options: &ProvenanceOptions,
) -> (String, Value) {
    let materials: Vec<Value> = materials
        .iter()
        .map(|one| json!({"uri": one.uri, "digest": {one.digest.0: one.digest.1}}))
        .collect();
    let platform = Platform::host().to_string();
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or(Value::Null, |time| json!(time.to_string()))
    };
    let (began, ended) = (time(options.times.0), time(options.times.1));
    let file = file_name(request);
    let parameters = parameters(request, options.max);
    let source = match options.max {
        true => json!({"source": {"infos": [{
            "filename": file,
            "language": "Dockerfile",
            "data": STANDARD.encode(&request.dockerfile),
        }]}}),
        false => json!({}),
    };
    if options.version_1 {
        let predicate = json!({
            "buildDefinition": {
                "buildType": DEFINITIONS,
                "externalParameters": {"configSource": config_source(request, "path"), "request": parameters},
                "internalParameters": {"builderPlatform": platform},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": options.builder_id},
                "metadata": {
                    "startedOn": began,
                    "finishedOn": ended,
                    "buildkit_metadata": source,
                    "buildkit_completeness": {"request": options.max, "resolvedDependencies": false},
                    "buildkit_reproducible": options.reproducible,
                },
            },
        });
        return ("https://slsa.dev/provenance/v1".to_owned(), predicate);
    }
    let predicate = json!({
        "builder": {"id": options.builder_id},
        "buildType": DEFINITIONS_V02,
        "materials": materials,
        "invocation": {
            "configSource": config_source(request, "entryPoint"),
            "parameters": parameters,
            "environment": {"platform": platform},
        },
        "metadata": {
            "buildStartedOn": began,
            "buildFinishedOn": ended,
            "completeness": {"parameters": options.max, "environment": true, "materials": false},
            "reproducible": options.reproducible,
            format!("{DEFINITIONS_V02}#metadata"): source,
        },
    });
    ("https://slsa.dev/provenance/v0.2".to_owned(), predicate)
}

/// Where the Dockerfile is from: the context, if that is elsewhere, and its name there.
fn config_source(request: &BuildRequest, name: &str) -> Value {
    let mut source = json!({name: file_name(request)});
    let elsewhere = request.context_identity.as_ref();
    if let Some(context) = elsewhere.filter(|context| *context != "-") {
        source["uri"] = json!(context);
    }
    source
}

/// The Dockerfile's own name: where it lies on this machine is nobody's business.
fn file_name(request: &BuildRequest) -> &str {
    let name = request.dockerfile_name.as_str();
    name.rsplit('/').next().unwrap_or(name)
}

/// What was asked for. Values of secrets are never among it.
fn parameters(request: &BuildRequest, max: bool) -> Value {
    let mut all = json!({
        "frontend": FRONTEND,
        "locals": [{"name": "context"}, {"name": "dockerfile"}],
    });
    if !max {
        return all;
    }
    let mut arguments = serde_json::Map::new();
    let mut add = |key: String, value: &str| arguments.insert(key, json!(value));
    for (name, value) in &request.build_args {
        add(format!("build-arg:{name}"), value);
    }
    for (name, value) in &request.labels {
        add(format!("label:{name}"), value);
    }
    if let Some(target) = &request.target {
        add("target".to_owned(), target);
    }
    all["args"] = Value::Object(arguments);
    let ids = |ids: Vec<&String>| -> Vec<Value> {
        ids.into_iter()
            .map(|id| json!({"id": id, "optional": true}))
            .collect()
    };
    if !request.secrets.is_empty() {
        all["secrets"] = json!(ids(request.secrets.keys().collect()));
    }
    if !request.ssh.is_empty() {
        all["ssh"] = json!(ids(request.ssh.keys().collect()));
    }
    all
}
