//! `kiln copy --all-tags`: every tag of a repository.

use kiln_registry::{Access, Place};
use kiln_store::Reference;
use regex_lite::Regex;

use super::{Ends, one, tag};
use crate::cli::CopyArgs;
use crate::error::CommandError;
use crate::output;

/// Copies the chosen tags one after the other; what the target has already costs two requests each.
pub fn run(args: &CopyArgs, ends: &Ends, source: &Place) -> Result<u8, CommandError> {
    let [target] = args.targets.as_slice() else {
        return Err(CommandError::usage("`--all-tags` copies to one place"));
    };
    let target: Place = target.parse()?;
    let mut tags = tags(ends, source)?;
    let (include, exclude) = (patterns(&args.include)?, patterns(&args.exclude)?);
    tags.retain(|tag| {
        (include.is_empty() || include.iter().any(|pattern| pattern.is_match(tag)))
            && !exclude.iter().any(|pattern| pattern.is_match(tag))
    });
    if tags.is_empty() {
        return Err(CommandError::usage(format!("no tag of {source} is to be copied")).code(1));
    }
    let (mut copied, mut failed) = (0, Vec::new());
    let mut lines = String::new();
    for name in &tags {
        let (from, to) = (at_tag(source, name)?, at_tag(&target, name)?);
        match one(args, ends, &from, &to, &[]) {
            Ok(digest) => {
                copied += 1;
                lines.push_str(&format!("{name} {digest}\n"));
            }
            Err(error) if args.keep_going => {
                // It is told at once and counted at the end.
                let _ = error.report();
                failed.push(name.clone());
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(file) = &args.digestfile {
        std::fs::write(file, &lines)?;
    }
    output::data(&lines)?;
    if failed.is_empty() {
        return Ok(0);
    }
    output::talk(&format!(
        "{copied} tags copied, {} failed: {}",
        failed.len(),
        failed.join(", ")
    ));
    Ok(1)
}

/// The tags of the source. Those that belong to an image (its signatures) come along with it.
fn tags(ends: &Ends, source: &Place) -> Result<Vec<String>, CommandError> {
    let all = match source {
        Place::Registry(reference) => {
            let client = ends.source_client(reference.domain())?;
            let repository = client.repository(reference, Access::Pull);
            ends.network.block_on(repository.tags())?
        }
        Place::Layout(path, None) => {
            let layout = kiln_registry::Layout::open(path)?;
            let entries = layout.entries()?;
            entries.into_iter().filter_map(|(name, _)| name).collect()
        }
        other => {
            return Err(CommandError::usage(format!(
                "`--all-tags` reads a repository of a registry or a layout, not {other}"
            )));
        }
    };
    Ok(all.into_iter().filter(|tag| !is_companion(tag)).collect())
}

/// `sha256-<hex>`, with or without a suffix.
fn is_companion(tag: &str) -> bool {
    let digits = tag.strip_prefix("sha256-").unwrap_or_default();
    let hex = digits.split('.').next().unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn at_tag(place: &Place, name: &str) -> Result<Place, CommandError> {
    let repository = |reference: &Reference| {
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(CommandError::usage(format!(
                "with `--all-tags`, {reference} is named without a tag"
            )));
        }
        Ok(reference.with_tag(name)?)
    };
    Ok(match place {
        Place::Registry(reference) => Place::Registry(repository(reference)?),
        Place::Layout(path, None) => Place::Layout(path.clone(), Some(tag(name))),
        other => {
            return Err(CommandError::usage(format!(
                "`--all-tags` writes to a repository of a registry or a layout, not {other}"
            )));
        }
    })
}

fn patterns(texts: &[String]) -> Result<Vec<Regex>, CommandError> {
    texts
        .iter()
        .map(|text| {
            // As a whole, as skopeo and regsync match.
            Regex::new(&format!("^(?:{text})$")).map_err(|error| {
                CommandError::usage(format!("`{text}` is no regular expression: {error}"))
            })
        })
        .collect()
}
