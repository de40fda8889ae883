//! `kiln doctor`: what this machine allows, and how to mend what is missing.

use kiln_runtime::probe;
use serde_json::json;

use crate::cli::FormatArgs;
use crate::error::CommandError;
use crate::settings::Settings;

/// Prints the findings.
pub fn run(args: &FormatArgs, settings: &Settings) -> Result<u8, CommandError> {
    let landlock = probe::landlock_version();
    let value = json!({
        "root": settings.is_root,
        "userNamespace": probe::in_user_namespace(),
        "landlock": landlock,
    });
    let text = format!("root: {}\nlandlock: {landlock}\n", settings.is_root);
    super::print_value(args.format.as_deref(), &value, &text)
}
