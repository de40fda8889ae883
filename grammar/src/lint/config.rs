//! The value of `# check=`: `skip=A,B;error=true;experimental=C`.

use crate::quote::go_quote;

/// Which rules run and whether their warnings are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckConfig {
    skip: Rules,
    experimental: Rules,
    /// Whether a warning fails the build.
    pub error: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Rules {
    #[default]
    None,
    All,
    These(Vec<String>),
}

/// Why a check directive can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not one of the three options, or without a value.
    #[error("invalid check option {}", go_quote(.0))]
    Option(String),
    /// `error=` takes a boolean.
    #[error("failed to parse check option {}: it is neither true nor false", go_quote(.0))]
    Boolean(String),
}

impl CheckConfig {
    /// Reads the text behind `check=`.
    ///
    /// # Errors
    /// Fails on an unknown option.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for option in text
            .split(';')
            .map(str::trim)
            .filter(|option| !option.is_empty())
        {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| ConfigError::Option(option.to_owned()))?;
            let value = value.trim();
            match name.trim() {
                "skip" => config.skip = Rules::parse(value),
                "experimental" => config.experimental = Rules::parse(value),
                "error" => {
                    config.error = match value.to_ascii_lowercase().as_str() {
                        "1" | "t" | "true" => true,
                        "0" | "f" | "false" => false,
                        _ => return Err(ConfigError::Boolean(option.to_owned())),
                    }
                }
                _ => return Err(ConfigError::Option(option.to_owned())),
            }
        }
        Ok(config)
    }

    /// Whether a rule runs.
    pub fn is_enabled(&self, rule: &str, experimental: bool) -> bool {
        // A rule that is asked for by name runs even where all are skipped.
        match (experimental, self.experimental.contains(rule)) {
            (true, wanted) => wanted,
            (false, _) => !self.skip.contains(rule),
        }
    }

    /// Whether a rule is skipped by name or with all others.
    pub fn skips(&self, rule: &str) -> bool {
        self.skip.contains(rule)
    }
}

impl Rules {
    fn parse(text: &str) -> Self {
        if text == "all" {
            Self::All
        } else {
            Self::These(text.split(',').map(|rule| rule.trim().to_owned()).collect())
        }
    }

    fn contains(&self, rule: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(rules) => rules.iter().any(|known| known == rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let config = CheckConfig::parse(" skip=A, B ; error=true;experimental=X ").unwrap();
        assert!(
            config.error
                && !config.is_enabled("A", false)
                && !config.is_enabled("B", false)
                && config.is_enabled("C", false)
        );
        assert!(config.is_enabled("X", true) && !config.is_enabled("Y", true));
        assert!(
            !CheckConfig::parse("skip=all")
                .unwrap()
                .is_enabled("A", false)
        );
        assert!(
            CheckConfig::parse("experimental=all")
                .unwrap()
                .is_enabled("Y", true)
        );
        assert_eq!(
            CheckConfig::parse("foo").unwrap_err().to_string(),
            "invalid check option \"foo\""
        );
        assert_eq!(
            CheckConfig::parse("foo=1").unwrap_err().to_string(),
            "invalid check option \"foo=1\""
        );
        assert!(CheckConfig::parse("error=maybe").is_err());
    }
}
