//! Base images and their platforms.

use super::super::model::Model;
use super::super::reference;
use super::Sink;
use crate::expand::{Lexer, Variables};
use crate::quote::go_quote;

pub(super) fn constant_platform(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let (Some(word), Some(platform)) = (&stage.stage.from.platform, &stage.platform) else {
            continue;
        };
        if !platform.used.is_empty() || !platform.missing.is_empty() {
            continue;
        }
        let Some((system, architecture)) = platform.text.split_once('/') else {
            continue;
        };
        let architecture = architecture.split('/').next().unwrap_or_default();
        let name = stage.stage.name.as_deref().unwrap_or_default();
        // A stage that is named after its platform is made for it.
        let is_meant = !name.is_empty() && (name.contains(system) || name.contains(architecture));
        if system.is_empty() || architecture.is_empty() || is_meant {
            continue;
        }
        let message = format!(
            "FROM --platform flag should not use constant value {}",
            go_quote(&platform.text)
        );
        sink.warn_with(stage.stage.instruction, word.span, message, |diagnostic| {
            diagnostic.help("leave the flag out and choose the platform when building, or name the stage after the platform")
        });
    }
}

pub(super) fn redundant_platform(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let (Some(word), Some(platform)) = (&stage.stage.from.platform, &stage.platform) else {
            continue;
        };
        let mut names = platform.used.iter().chain(&platform.missing);
        let only = names.next().filter(|_| names.next().is_none());
        let is_target = only.is_some_and(|name| name == "TARGETPLATFORM");
        if is_target && model.globals.value("TARGETPLATFORM").unwrap_or_default() == platform.text {
            let message = format!(
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                word.text
            );
            sink.warn(stage.stage.instruction, word.span, message);
        }
    }
}

pub(super) fn base_platform(model: &Model<'_>, sink: &mut Sink<'_>) {
    for stage in &model.stages {
        let (Some(image), Some(base)) = (&stage.image, &stage.base) else {
            continue;
        };
        let expected = stage
            .platform
            .as_ref()
            .map(|platform| platform.text.as_str())
            .or_else(|| model.globals.value("TARGETPLATFORM"));
        let (Some(actual), Some(expected)) = (
            base.platform.as_deref(),
            expected.filter(|expected| !expected.is_empty()),
        ) else {
            continue;
        };
        // Variants do not count: a v7 image runs where v8 is asked for.
        let system_and_architecture = |platform: &str| {
            platform
                .splitn(3, '/')
                .take(2)
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        };
        if system_and_architecture(actual) != system_and_architecture(expected) {
            let name = &image.text;
            let message = format!(
                "Base image {name} was pulled with platform {}, expected {} for current build",
                go_quote(actual),
                go_quote(expected)
            );
            sink.warn(
                stage.stage.instruction,
                stage.stage.from.image.span,
                message,
            );
        }
    }
}

pub(super) fn default_argument(model: &Model<'_>, sink: &mut Sink<'_>) {
    let lexer = Lexer::new(model.file.directives.escape);
    for stage in &model.stages {
        let word = &stage.stage.from.image;
        if !word.text.contains('$') {
            continue;
        }
        let Ok(expansion) = lexer.expand(&word.text, &model.defaults) else {
            continue;
        };
        if !reference::is_valid(&expansion.text) {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                word.text
            );
            sink.warn_with(stage.stage.instruction, word.span, message, |diagnostic| {
                diagnostic.help(
                    "give the ARG a default with which the file builds without further arguments",
                )
            });
        }
    }
}
