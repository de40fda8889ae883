//! `--provenance` and `--attest type=provenance`: how an image came to be, stated beside it.

use kiln_builder::{BuildRequest, Built, ProvenanceOptions, provenance};
use serde_json::Value;

use super::fields::{Fields, refuse};
use crate::cli::BuildArgs;
use crate::error::CommandError;

/// The kind of a statement, and what it says.
pub type Predicate = (String, Value);

/// What was asked for; nothing by default, so that an image stays one manifest.
pub fn wanted(args: &BuildArgs) -> Result<Option<ProvenanceOptions>, CommandError> {
    let mut wanted = None;
    for text in &args.accepted.attest {
        let fields = Fields::read("--attest", text)?;
        match fields.get("type") {
            Some("provenance") => wanted = options(&fields)?,
            Some("sbom") => {}
            Some(other) => {
                return Err(fields.refuse(other, "an attestation is sbom or provenance"));
            }
            None => return Err(refuse("--attest", text, "", "`type=` is required")),
        }
    }
    match args.accepted.provenance.as_deref() {
        None => {}
        Some("1" | "true" | "max" | "min") if wanted.is_some() => {}
        Some("1" | "true") => wanted = Some(none_said()),
        Some("0" | "false") => wanted = None,
        Some(text) => wanted = options(&Fields::read("--provenance", text)?)?,
    }
    Ok(wanted)
}

/// What is told when no field says otherwise.
fn none_said() -> ProvenanceOptions {
    ProvenanceOptions {
        max: false,
        version_1: true,
        builder_id: String::new(),
        reproducible: false,
        times: (0, 0),
    }
}

fn options(fields: &Fields<'_>) -> Result<Option<ProvenanceOptions>, CommandError> {
    let mut options = none_said();
    let mut disabled = false;
    for (key, value) in fields.iter() {
        match key {
            "type" => {}
            "mode" => {
                options.max = match fields.value(key, value)? {
                    "min" => false,
                    "max" => true,
                    other => return Err(fields.refuse(other, "the modes are min and max")),
                };
            }
            "version" => {
                options.version_1 = match fields.value(key, value)? {
                    "v1" => true,
                    "v0.2" => false,
                    other => return Err(fields.refuse(other, "the versions are v1 and v0.2")),
                };
            }
            "builder-id" => options.builder_id = fields.value(key, value)?.to_owned(),
            "reproducible" => options.reproducible = fields.truth(key, value)?,
            "disabled" => disabled = fields.truth(key, value)?,
            // It always is beside the image, under no name of its own.
            "inline-only" | "filename" => {}
            other => {
                let known = ["mode", "version", "builder-id", "reproducible", "disabled"];
                return Err(fields.unknown(other, known));
            }
        }
    }
    Ok((!disabled).then_some(options))
}

/// How this build went.
pub fn of(
    request: &BuildRequest,
    built: &Built,
    options: &ProvenanceOptions,
    began: jiff::Timestamp,
) -> Predicate {
    let options = ProvenanceOptions {
        times: (began.as_second(), jiff::Timestamp::now().as_second()),
        ..options.clone()
    };
    provenance(request, &built.materials, &options)
}

/// What `--metadata-file` tells of every build, as buildx has it there.
pub fn for_scripts(request: &BuildRequest, built: &Built, began: jiff::Timestamp) -> Value {
    let options = ProvenanceOptions {
        version_1: false,
        ..none_said()
    };
    of(request, built, &options, began).1
}
