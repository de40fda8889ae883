//! The arguments that are there without being declared: target and build platform.

use kiln_grammar::scope::GlobalScope;
use kiln_store::Platform;

use crate::request::BuildRequest;

/// The value of `TARGETSTAGE` when no target is asked for.
const DEFAULT_TARGET: &str = "default";

/// The platform of the result.
pub(crate) fn target_platform(request: &BuildRequest) -> Platform {
    request.platform.clone().unwrap_or_else(Platform::host)
}

/// The global scope with the automatic arguments; `--build-arg` beats them.
pub(super) fn globals(request: &BuildRequest) -> GlobalScope {
    let mut automatic = Vec::new();
    for (prefix, platform) in [
        ("BUILD", Platform::host()),
        ("TARGET", target_platform(request)),
    ] {
        automatic.push((format!("{prefix}PLATFORM"), platform.to_string()));
        automatic.push((format!("{prefix}OS"), platform.os.clone()));
        automatic.push((
            format!("{prefix}OSVERSION"),
            platform.os_version.clone().unwrap_or_default(),
        ));
        automatic.push((format!("{prefix}ARCH"), platform.architecture.clone()));
        automatic.push((
            format!("{prefix}VARIANT"),
            platform.variant.clone().unwrap_or_default(),
        ));
    }
    let target = request
        .target
        .clone()
        .unwrap_or_else(|| DEFAULT_TARGET.to_owned());
    automatic.push(("TARGETSTAGE".to_owned(), target));
    let automatic = automatic
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    GlobalScope::new(automatic, &request.build_args)
}
