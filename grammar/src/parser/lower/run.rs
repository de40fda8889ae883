//! `RUN` with its mounts, network, security and devices.

use super::super::flags;
use super::{Context, quoted};
use crate::ast::{CommandForm, Device, InstructionKind, Network, Run, Security, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::mount::{Mount, MountKind};
use crate::quote::go_quote;
use crate::span::Span;
use crate::suggest::nearest;

impl Context<'_> {
    pub(super) fn run(&mut self) -> Option<InstructionKind> {
        let command = self.command()?;
        if command == CommandForm::Json(Vec::new()) {
            self.error(
                codes::ARGUMENT_COUNT,
                self.name_span(),
                "RUN requires at least one argument",
            );
            return None;
        }
        let flags = &self.syntax.flags;
        let mounts = flags::values(flags, "mount");
        let devices = flags::values(flags, "device");
        let network = flags::value(flags, "network").cloned();
        let security = flags::value(flags, "security").cloned();
        for mount in &mounts {
            self.check_mount(mount);
        }
        let devices = devices
            .iter()
            .filter_map(|word| self.device(word))
            .collect();
        let network = network.map_or(Network::Default, |word| self.network(&word));
        let security = security.map_or(Security::Sandbox, |word| self.security(&word));
        Some(InstructionKind::Run(Run {
            command,
            mounts,
            network,
            security,
            devices,
        }))
    }

    fn network(&mut self, word: &Word) -> Network {
        match word.text.as_str() {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                let message = quoted("invalid network mode ", other, "");
                self.mode_error(word, message, &["default", "none", "host"]);
                Network::Default
            }
        }
    }

    fn security(&mut self, word: &Word) -> Security {
        match word.text.as_str() {
            "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => {
                let message = quoted("security ", other, " is not valid");
                self.mode_error(word, message, &["sandbox", "insecure"]);
                Security::Sandbox
            }
        }
    }

    fn mode_error(&mut self, word: &Word, message: String, choices: &[&'static str]) {
        let mut diagnostic = Diagnostic::error(codes::RUN_MODE, word.span, message)
            .help(format!("one of {}", choices.join(", ")));
        if let Some(choice) = nearest(&word.text, choices.iter().copied()) {
            diagnostic = diagnostic.fix(word.span, choice, format!("write {choice}"));
        }
        self.diagnostics.push(diagnostic);
    }

    fn device(&mut self, word: &Word) -> Option<Device> {
        device(word)
            .map_err(|message| {
                let help = "name a device, as in `--device=vendor.com/class=name,required`";
                self.diagnostics
                    .push(Diagnostic::error(codes::DEVICE, word.span, message).help(help));
            })
            .ok()
    }

    /// Reports a mount that is wrong whatever its variables are.
    fn check_mount(&mut self, word: &Word) {
        if word.text.contains('$') {
            return;
        }
        let escape = self.escape;
        if let Err(error) = Mount::parse(&word.text, |value| {
            crate::expand::expand(value, escape, &crate::expand::Unset)
        }) {
            let mut diagnostic = Diagnostic::error(
                codes::MOUNT,
                faulty_field(word, &error.0),
                error.to_string(),
            );
            if error.0.starts_with("unsupported mount type") {
                diagnostic =
                    diagnostic.help(format!("the types are {}", MountKind::NAMES.join(", ")));
            } else if error.0.starts_with("invalid mount target") {
                diagnostic = diagnostic
                    .help("give the mount a place in the container, as in `target=/path`");
            }
            self.diagnostics.push(diagnostic);
        }
    }
}

/// The field of a mount that the message names, the whole value if it names none.
fn faulty_field(word: &Word, message: &str) -> Span {
    let exact = word.span.end - word.span.start == word.text.len();
    let mut start = word.span.start;
    for field in word.text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let is_named = message.contains(&format!("'{field}'"))
            || message.contains(&format!("key '{key}'"))
            || (!value.is_empty() && message.contains(&format!("value {}", go_quote(value))))
            || (key == "type" && message.starts_with("unsupported mount type"))
            || (matches!(key, "mode" | "uid" | "gid") && message.starts_with(key));
        if exact && is_named {
            return Span::new(start, start + field.len());
        }
        start += field.len() + 1;
    }
    word.span
}

/// Reads `NAME[,required]`, also with keys: `name=NAME,required=true`. A CDI name has itself an equals sign in it.
fn device(word: &Word) -> Result<Device, String> {
    let mut device = Device {
        name: String::new(),
        required: false,
        raw: word.clone(),
    };
    for field in word.text.split(',') {
        let (key, value) = field
            .split_once('=')
            .map_or((field, None), |(key, value)| (key, Some(value)));
        match (key.to_ascii_lowercase().as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => {
                device.required =
                    boolean(value).ok_or_else(|| format!("invalid value for required: {value}"))?;
            }
            ("name", Some(value)) if device.name.is_empty() => value.clone_into(&mut device.name),
            (_, _) if device.name.is_empty() => field.clone_into(&mut device.name),
            ("name", Some(_)) => return Err(format!("device name already set to {}", device.name)),
            (_, Some(_)) => return Err(format!("unexpected key '{key}' in '{field}'")),
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
    }
    if device.name.is_empty() {
        return Err(quoted("invalid device ", &word.text, ": it has no name"));
    }
    Ok(device)
}

/// A truth value as Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let read = |text: &str| {
            let word = Word {
                text: text.to_owned(),
                span: Span::default(),
            };
            device(&word).map(|device| (device.name, device.required))
        };
        for (text, name, required) in [
            ("gpu", "gpu", false),
            ("v.com/gpu=all", "v.com/gpu=all", false),
            ("v.com/gpu=all,required", "v.com/gpu=all", true),
            ("Required=1,name=a", "a", true),
            ("name=a,required=false", "a", false),
        ] {
            assert_eq!(read(text), Ok((name.to_owned(), required)), "{text}");
        }
        for (text, message) in [
            ("", "invalid device \"\": it has no name"),
            ("required", "invalid device \"required\": it has no name"),
            ("a,b", "invalid field 'b' must be a key=value pair"),
            ("a,mode=rw", "unexpected key 'mode' in 'mode=rw'"),
            ("name=a,name=b", "device name already set to a"),
            ("a,required=maybe", "invalid value for required: maybe"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }
}
