//! Looking variables up, and noting which were asked for.

use std::collections::BTreeSet;

use super::Variables;

/// The variables and which of them were asked for.
pub(super) struct Lookup<'a, V: ?Sized> {
    variables: &'a V,
    /// Those that have a value.
    pub(super) used: BTreeSet<String>,
    /// Those that have none.
    pub(super) missing: BTreeSet<String>,
}

impl<'a, V: Variables + ?Sized> Lookup<'a, V> {
    pub(super) fn new(variables: &'a V) -> Self {
        Self {
            variables,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
        }
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.variables.value(name);
        let seen = if value.is_some() {
            &mut self.used
        } else {
            &mut self.missing
        };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }
}
