//! Which images a list shows: `--filter` and the name behind it.

use kiln_runtime::container::Moment;
use kiln_store::{LabelFilter, Reference, Store};

use super::{Line, find};
use crate::commands::{boolean, containers};
use crate::error::CommandError;

/// All conditions; an image has to meet each. Of several references one is enough, as with docker.
#[derive(Default)]
pub(super) struct Filters {
    references: Vec<String>,
    conditions: Vec<Condition>,
}

enum Condition {
    Dangling(bool),
    Label(LabelFilter),
    Before(i128),
    Since(i128),
}

impl Filters {
    pub(super) fn parse(store: &Store, filters: &[String]) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        for filter in filters {
            let (key, value) = filter.split_once('=').ok_or_else(|| {
                CommandError::usage(format!(
                    "bad format of filter `{filter}`: KEY=VALUE is expected"
                ))
            })?;
            let condition = match key {
                "reference" => {
                    parsed.references.push(checked(value)?);
                    continue;
                }
                "dangling" => Condition::Dangling(boolean(value).ok_or_else(|| {
                    CommandError::usage(format!(
                        "bad value of filter `{filter}`: true or false is expected"
                    ))
                })?),
                "label" | "label!" => Condition::Label(label(value, key.ends_with('!'))),
                "before" => Condition::Before(created(store, value)?),
                "since" => Condition::Since(created(store, value)?),
                "until" => {
                    let Moment(nanoseconds) = containers::moment(value)?;
                    Condition::Before(i128::from(nanoseconds))
                }
                other => {
                    return Err(CommandError::usage(format!("invalid filter `{other}`")).hint(
                        "`dangling`, `reference`, `label`, `label!`, `before`, `since` and `until` exist",
                    ));
                }
            };
            parsed.conditions.push(condition);
        }
        Ok(parsed)
    }

    /// The name behind the command.
    pub(super) fn name(&mut self, name: &str) -> Result<(), CommandError> {
        self.references.push(checked(name)?);
        Ok(())
    }

    pub(super) fn accept(&self, line: &Line<'_>) -> Result<bool, CommandError> {
        let named = self.references.is_empty()
            || line.name.is_some_and(|name| {
                let mut patterns = self.references.iter();
                patterns.any(|pattern| is_named(pattern, name))
            });
        Ok(named && self.conditions.iter().all(|it| it.accepts(line)))
    }
}

impl Condition {
    fn accepts(&self, line: &Line<'_>) -> bool {
        let at = || {
            let config = &line.image?.config;
            nanoseconds(config.created.as_deref()?)
        };
        match self {
            Self::Dangling(wanted) => line.name.is_none() == *wanted,
            Self::Label(filter) => line
                .image
                .is_some_and(|image| filter.accepts(&image.config.config.labels)),
            Self::Before(limit) => at().is_some_and(|created| created < *limit),
            Self::Since(limit) => at().is_some_and(|created| created > *limit),
        }
    }
}

/// A condition on labels, `KEY` or `KEY=VALUE`.
pub fn label(text: &str, negated: bool) -> LabelFilter {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    LabelFilter {
        name: name.to_owned(),
        value,
        negated,
    }
}

fn checked(pattern: &str) -> Result<String, CommandError> {
    match kiln_builder::path_matches(pattern, "") {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => Err(CommandError::usage(format!("`{pattern}`: {error}"))),
    }
}

/// Whether a name meets a pattern, which stands for the whole name, or for all tags of a repository.
fn is_named(pattern: &str, name: &Reference) -> bool {
    let matches = |text: &str| kiln_builder::path_matches(pattern, text).unwrap_or(false);
    if matches(&name.familiar()) || matches(&name.familiar_name()) || matches(&name.to_string()) {
        return true;
    }
    pattern.parse::<Reference>().is_ok_and(|asked| {
        asked.domain() == name.domain()
            && asked.path() == name.path()
            && (asked.tag().is_none() || asked.tag() == name.tag())
    })
}

/// When an image was made.
fn created(store: &Store, name: &str) -> Result<i128, CommandError> {
    let digest = find(store, name)?
        .ok_or_else(|| CommandError::usage(format!("No such image: {name}")).code(1))?;
    let created = store.any_image(&digest)?.config.created;
    created.as_deref().and_then(nanoseconds).ok_or_else(|| {
        CommandError::usage(format!("image {name} does not say when it was made")).code(1)
    })
}

fn nanoseconds(time: &str) -> Option<i128> {
    Some(time.parse::<jiff::Timestamp>().ok()?.as_nanosecond())
}
