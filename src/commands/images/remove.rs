//! `kiln rmi`.

use kiln_runtime::container::Containers;
use kiln_store::{Digest, Reference};

use super::{find, require};
use crate::cli::RemoveImageArgs;
use crate::commands::containers::refuse_if_used;
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Removes names, and images that no name is left for.
pub fn remove(args: &RemoveImageArgs, settings: &Settings) -> Result<u8, CommandError> {
    let mut code = 0;
    for name in &args.images {
        // Forcing is also meant for what may be gone already.
        let passes = args.force && find(&Host::local(settings)?.store, name)?.is_none();
        if let Err(error) = remove_one(settings, name, args) {
            let _ = error.report();
            code = if passes { code } else { 1 };
        }
    }
    Ok(code)
}

/// An image that is to go.
struct Doomed {
    id: String,
    /// All its manifests and indexes here.
    forms: Vec<Digest>,
    tags: Vec<Reference>,
}

fn remove_one(settings: &Settings, name: &str, args: &RemoveImageArgs) -> Result<(), CommandError> {
    let doomed = choose(&Host::local(settings)?, name, args.force)?;
    // A store holds what was looked up through it: the removal needs one that has looked at nothing.
    let host = Host::local(settings)?;
    let by_name = name
        .parse::<Reference>()
        .ok()
        .map(Reference::with_default_tag);
    let (named, others): (Vec<_>, Vec<_>) = doomed
        .tags
        .iter()
        .partition(|tag| Some(*tag) == by_name.as_ref());
    let whole = named.is_empty() || others.is_empty();
    for tag in if named.is_empty() { others } else { named } {
        host.store.untag(tag)?;
        output::data(&format!("Untagged: {}\n", tag.familiar()))?;
    }
    if whole {
        Containers::open(host.store.clone())?.release_left_pins()?;
        let mut is_gone = !doomed.forms.is_empty();
        for form in &doomed.forms {
            if args.no_prune {
                host.store.unmark_image(form)?;
            } else {
                let report = host.store.remove_image(form)?;
                is_gone &= report.is_none_or(|report| report.images.contains(form));
            }
        }
        if is_gone {
            output::data(&format!("Deleted: {}\n", doomed.id))?;
        }
    }
    Ok(())
}

/// Finds what is to go, and refuses what is in use.
fn choose(host: &Host, name: &str, force: bool) -> Result<Doomed, CommandError> {
    let digest = require(&host.store, name)?;
    let forms = host.store.forms_of(&digest)?;
    let mut tags: Vec<Reference> = forms.iter().flat_map(|form| form.tags.clone()).collect();
    tags.sort();
    let by_name = name
        .parse::<Reference>()
        .ok()
        .map(Reference::with_default_tag);
    let only_a_name = tags.len() > 1 && by_name.is_some_and(|name| tags.contains(&name));
    if !force && !only_a_name {
        refuse_if_used(host, &digest, name)?;
        if tags.len() > 1 {
            return Err(
                CommandError::usage(format!("{name} has {} names", tags.len()))
                    .code(1)
                    .hint("remove them by name, or all of them with `--force`"),
            );
        }
    }
    // A damaged image can be removed like any other.
    let id = match host.store.any_image(&digest) {
        Ok(image) => image.id.to_string(),
        Err(_) => digest.to_string(),
    };
    let forms = forms.into_iter().map(|form| form.digest).collect();
    Ok(Doomed { id, forms, tags })
}
