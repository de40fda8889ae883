//! What a token must allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A set of resources with the actions wanted on each; equal sets share one token.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Nothing in particular: enough to see whether credentials are good.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Reading a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self::default().with(repository, &["pull"])
    }

    /// Reading and writing a repository.
    pub(crate) fn push(repository: &str) -> Self {
        Self::default().with(repository, &["pull", "push"])
    }

    /// Reading and deleting in a repository.
    pub(crate) fn delete(repository: &str) -> Self {
        Self::default().with(repository, &["delete", "pull"])
    }

    /// These scopes and reading another repository (the origin of a mount).
    pub(crate) fn and_pull(self, repository: &str) -> Self {
        self.with(repository, &["pull"])
    }

    fn with(mut self, repository: &str, actions: &[&str]) -> Self {
        let known = self
            .0
            .entry(format!("repository:{repository}"))
            .or_default();
        known.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// These scopes and those that a challenge names (separated by spaces).
    pub(crate) fn and_challenged(&self, scope: &str) -> Self {
        let mut scopes = self.clone();
        for item in scope.split_whitespace() {
            // `repository:host:5000/name:pull,push`: the actions follow the last colon.
            if let Some((resource, actions)) = item.rsplit_once(':') {
                let known = scopes.0.entry(resource.to_owned()).or_default();
                known.extend(
                    actions
                        .split(',')
                        .filter(|action| !action.is_empty())
                        .map(str::to_owned),
                );
            }
        }
        scopes
    }

    /// One text per resource, as the token service wants them; `first` names the resource that comes first, because some services honour only one.
    pub(crate) fn parameters(&self, first: Option<&str>) -> Vec<String> {
        let mut all: Vec<(&String, &BTreeSet<String>)> = self.0.iter().collect();
        all.sort_by_key(|(resource, _)| {
            first.is_none_or(|first| !first.starts_with(resource.as_str()))
        });
        all.into_iter()
            .map(|(resource, actions)| {
                format!(
                    "{resource}:{}",
                    actions
                        .iter()
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join(",")
                )
            })
            .collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the registry");
        }
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(resource, actions)| {
                let name = resource
                    .split_once(':')
                    .map_or(resource.as_str(), |(_, name)| name);
                format!(
                    "{name} ({})",
                    actions
                        .iter()
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })
            .collect();
        f.write_str(&parts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_merge_and_order() {
        let scopes = Scopes::push("b/target").and_pull("a/origin");
        assert_eq!(
            scopes.parameters(None),
            ["repository:a/origin:pull", "repository:b/target:pull,push"]
        );
        assert_eq!(
            scopes.parameters(Some("repository:b/target")),
            ["repository:b/target:pull,push", "repository:a/origin:pull"]
        );
        assert_eq!(
            scopes.and_challenged("repository:b/target:pull,push repository:a/origin:pull"),
            scopes
        );
        assert_eq!(
            scopes.to_string(),
            "a/origin (pull) and b/target (pull, push)"
        );
        let odd =
            Scopes::none().and_challenged("aws registry:catalog:* repository:host:5000/x:pull");
        assert_eq!(
            odd.parameters(None),
            ["registry:catalog:*", "repository:host:5000/x:pull"]
        );
    }
}
