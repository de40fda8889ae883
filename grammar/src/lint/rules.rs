//! The table of rules.

mod casing;
mod expose;
mod images;
mod instructions;
mod stages;
mod variables;

use super::config::CheckConfig;
use super::model::Model;
use crate::ast::Instruction;
use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// One rule: what it is called, what it is about, and the function that looks for it.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The name, as in `# check=skip=Name`.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// Last part of its address in the reference's documentation.
    slug: &'static str,
    /// Whether it runs only when asked for.
    pub experimental: bool,
    pub(super) run: fn(&Model<'_>, &mut Sink<'_>),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rule")
            .field("name", &self.name)
            .field("experimental", &self.experimental)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// Where the rule is documented.
    pub fn url(&self) -> String {
        format!("https://docs.docker.com/go/dockerfile/rule/{}/", self.slug)
    }

    /// The rule of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }
}

macro_rules! rules {
    ($($name:literal, $slug:literal, $run:path, $description:literal $(, $experimental:ident)?;)*) => {
        /// All rules. Each has a page in `docs/rules/`.
        pub const RULES: &[Rule] = &[$(Rule { name: $name, description: $description, slug: $slug, experimental: rules!(@ $($experimental)?), run: $run }),*];
    };
    (@ experimental) => { true };
    (@) => { false };
}

rules! {
    "ConsistentInstructionCasing", "consistent-instruction-casing", casing::instructions,
        "All commands within the Dockerfile should use the same casing (either upper or lower)";
    "CopyIgnoredFile", "copy-ignored-file", instructions::ignored_sources, "Attempting to Copy file that is excluded by .dockerignore";
    "DuplicateStageName", "duplicate-stage-name", stages::duplicate_names, "Stage names should be unique";
    "ExposeInvalidFormat", "expose-invalid-format", expose::format,
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release";
    "ExposeProtoCasing", "expose-proto-casing", expose::casing, "Protocol in EXPOSE instruction should be lowercase";
    "FromAsCasing", "from-as-casing", casing::from_as, "The 'as' keyword should match the case of the 'from' keyword";
    "FromPlatformFlagConstDisallowed", "from-platform-flag-const-disallowed", images::constant_platform, "FROM --platform flag should not use a constant value";
    "InvalidBaseImagePlatform", "invalid-base-image-platform", images::base_platform, "Base image platform does not match expected target platform";
    "InvalidDefaultArgInFrom", "invalid-default-arg-in-from", images::default_argument,
        "Default value for global ARG results in an empty or invalid base image name";
    "InvalidDefinitionDescription", "invalid-definition-description", instructions::descriptions,
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.", experimental;
    "JSONArgsRecommended", "json-args-recommended", instructions::json_arguments,
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals";
    "LegacyKeyValueFormat", "legacy-key-value-format", instructions::legacy_pairs, "Legacy key/value format with whitespace separator should not be used";
    "MaintainerDeprecated", "maintainer-deprecated", instructions::maintainer,
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author";
    "MultipleInstructionsDisallowed", "multiple-instructions-disallowed", instructions::used_once,
        "Multiple instructions of the same type should not be used in the same stage";
    "NoEmptyContinuation", "no-empty-continuation", instructions::empty_continuations, "Empty continuation lines will become errors in a future release";
    "RedundantTargetPlatform", "redundant-target-platform", images::redundant_platform,
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior";
    "ReservedStageName", "reserved-stage-name", stages::reserved_names, "Reserved words should not be used as stage names";
    "SecretsUsedInArgOrEnv", "secrets-used-in-arg-or-env", variables::secrets, "Sensitive data should not be used in the ARG or ENV commands";
    "StageNameCasing", "stage-name-casing", casing::stage_names, "Stage names should be lowercase";
    "UndefinedArgInFrom", "undefined-arg-in-from", variables::undefined_in_from, "FROM command must use declared ARGs";
    "UndefinedVar", "undefined-var", variables::undefined, "Variables should be defined before their use";
    "WorkdirRelativePath", "workdir-relative-path", instructions::relative_workdir,
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes";
}

/// Takes what one rule finds.
pub(super) struct Sink<'a> {
    rule: &'static Rule,
    warnings: &'a mut Vec<Diagnostic>,
}

impl<'a> Sink<'a> {
    pub fn new(rule: &'static Rule, warnings: &'a mut Vec<Diagnostic>) -> Self {
        Self { rule, warnings }
    }

    /// Reports a finding in `instruction`, unless a `# check=` comment above it says otherwise.
    pub fn warn(&mut self, instruction: &Instruction, span: Span, message: impl Into<String>) {
        self.warn_with(instruction, span, message, |diagnostic| diagnostic);
    }

    /// The same, with help or a fix added.
    pub fn warn_with(
        &mut self,
        instruction: &Instruction,
        span: Span,
        message: impl Into<String>,
        complete: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        let skipped = instruction
            .check
            .as_ref()
            .and_then(|check| CheckConfig::parse(&check.text).ok());
        if skipped.is_some_and(|config| config.skips(self.rule.name)) {
            return;
        }
        let mut diagnostic = complete(Diagnostic::warning(self.rule.name, span, message));
        diagnostic.url = Some(self.rule.url());
        diagnostic.line.get_or_insert(instruction.lines.first);
        self.warnings.push(diagnostic);
    }
}
