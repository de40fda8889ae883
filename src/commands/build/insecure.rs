//! `registry.insecure=true` of outputs and caches: registries that are reached without TLS, or with certificates that nobody
//! vouches for.

use kiln_store::Reference;

use super::fields::Fields;
use super::outputs::Output;
use crate::cli::BuildArgs;
use crate::error::CommandError;

/// The registries that outputs and caches say this of.
pub fn registries(outputs: &[Output], args: &BuildArgs) -> Result<Vec<String>, CommandError> {
    let images = outputs.iter().filter_map(Output::image);
    let mut all: Vec<String> = images
        .filter(|image| image.insecure)
        .flat_map(|image| image.names.iter().map(|name| name.domain().to_owned()))
        .collect();
    let caches = [
        ("--cache-from", &args.outputs.cache_from),
        ("--cache-to", &args.outputs.cache_to),
    ];
    for (flag, texts) in caches {
        for text in texts.iter().filter(|text| text.contains('=')) {
            all.extend(of_cache(flag, text)?);
        }
    }
    Ok(all)
}

fn of_cache(flag: &str, text: &str) -> Result<Option<String>, CommandError> {
    let fields = Fields::read(flag, text)?;
    let mut insecure = false;
    for (key, value) in fields.iter() {
        if key == "registry.insecure" {
            insecure = fields.truth(key, value)?;
        }
    }
    // A name that is none is refused where the cache is read.
    let name = fields
        .get("ref")
        .and_then(|name| name.parse::<Reference>().ok());
    Ok(name
        .filter(|_| insecure)
        .map(|name| name.domain().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::of_cache;

    #[test]
    fn a_cache_says_it_of_its_registry() {
        let of = |text: &str| of_cache("--cache-to", text).unwrap();
        let named = "type=registry,ref=a.b:5000/c:1";
        assert_eq!(of(named), None);
        assert_eq!(
            of(&format!("{named},registry.insecure=true")).as_deref(),
            Some("a.b:5000")
        );
        assert_eq!(of("type=local,dest=x,registry.insecure=true"), None);
        assert!(of_cache("--cache-to", &format!("{named},registry.insecure=maybe")).is_err());
    }
}
