//! Diagnostics for machines: JSON in a layout of our own, and SARIF 2.1.0 for code scanning tools.

use serde_json::{Value, json};

use crate::diagnostic::codes::CODES;
use crate::diagnostic::{Diagnostic, Fix, Severity};
use crate::lint::{RULES, Rule};
use crate::span::{LineIndex, Span};

/// Address of the SARIF schema, as its consumers expect it.
const SARIF_SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// A file with what was found in it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Its path as the user gave it.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// What was found, in order.
    pub diagnostics: &'a [Diagnostic],
}

impl Report<'_> {
    /// `{"file", "warnings": [..], "errors": [..]}`, each with `rule`, `message`, `line`, `url`, and where exactly it is.
    pub fn to_json(&self) -> Value {
        let lines = LineIndex::new(self.text);
        let of = |severity: Severity| -> Vec<Value> {
            self.diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == severity)
                .map(|diagnostic| self.diagnostic(diagnostic, &lines))
                .collect()
        };
        json!({ "file": self.path, "warnings": of(Severity::Warning), "errors": of(Severity::Error) })
    }

    fn diagnostic(&self, diagnostic: &Diagnostic, lines: &LineIndex) -> Value {
        let labels: Vec<Value> = diagnostic
            .labels
            .iter()
            .map(|label| json!({ "place": self.place(label.span, lines), "text": label.text }))
            .collect();
        json!({
            "rule": diagnostic.code,
            "severity": diagnostic.severity,
            "message": diagnostic.message,
            "parse_error": diagnostic.parse_error(lines),
            "description": describe(diagnostic.code),
            "line": diagnostic.line.unwrap_or_else(|| lines.line(diagnostic.span().start)),
            "url": diagnostic.url,
            "place": self.place(diagnostic.span(), lines),
            "labels": labels,
            "help": diagnostic.help,
            "fix": diagnostic.fix.as_ref().map(|fix| self.fix(fix, lines)),
        })
    }

    fn fix(&self, fix: &Fix, lines: &LineIndex) -> Value {
        json!({ "place": self.place(fix.span, lines), "replacement": fix.replacement, "description": fix.description })
    }

    fn place(&self, span: Span, lines: &LineIndex) -> Value {
        let (start, end) = (
            lines.position(self.text, span.start),
            lines.position(self.text, span.end),
        );
        json!({
            "start": { "offset": span.start, "line": start.0, "column": start.1 },
            "end": { "offset": span.end, "line": end.0, "column": end.1 },
        })
    }

    /// A SARIF log of one run; `version` is that of the tool.
    pub fn to_sarif(&self, version: &str) -> Value {
        let lines = LineIndex::new(self.text);
        let mut ids: Vec<&str> = self
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let results: Vec<Value> = self
            .diagnostics
            .iter()
            .map(|diagnostic| self.sarif_result(diagnostic, &ids, &lines))
            .collect();
        let rules: Vec<Value> = ids.iter().map(|id| sarif_rule(id)).collect();
        json!({
            "$schema": SARIF_SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "kiln", "version": version, "rules": rules } },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        })
    }

    fn sarif_result(&self, diagnostic: &Diagnostic, ids: &[&str], lines: &LineIndex) -> Value {
        let level = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let text = match &diagnostic.help {
            Some(help) => format!("{}\n{help}", diagnostic.message),
            None => diagnostic.message.clone(),
        };
        let mut result = json!({
            "ruleId": diagnostic.code,
            "ruleIndex": ids.binary_search(&diagnostic.code).unwrap_or(0),
            "level": level,
            "message": { "text": text },
            "locations": [self.sarif_location(diagnostic.span(), lines)],
        });
        let related: Vec<Value> = diagnostic
            .labels
            .iter()
            .skip(1)
            .map(|label| {
                let mut location = self.sarif_location(label.span, lines);
                location["message"] = json!({ "text": label.text });
                location
            })
            .collect();
        if !related.is_empty() {
            result["relatedLocations"] = Value::Array(related);
        }
        if let Some(fix) = &diagnostic.fix {
            let replacement = json!({ "deletedRegion": self.region(fix.span, lines), "insertedContent": { "text": fix.replacement } });
            let change = json!({ "artifactLocation": { "uri": uri(self.path) }, "replacements": [replacement] });
            result["fixes"] = json!([{ "description": { "text": fix.description }, "artifactChanges": [change] }]);
        }
        result
    }

    fn sarif_location(&self, span: Span, lines: &LineIndex) -> Value {
        json!({ "physicalLocation": { "artifactLocation": { "uri": uri(self.path) }, "region": self.region(span, lines) } })
    }

    fn region(&self, span: Span, lines: &LineIndex) -> Value {
        let (start, end) = (
            lines.position(self.text, span.start),
            lines.position(self.text, span.end),
        );
        json!({ "startLine": start.0, "startColumn": start.1, "endLine": end.0, "endColumn": end.1 })
    }
}

fn sarif_rule(id: &str) -> Value {
    let mut rule = json!({ "id": id, "shortDescription": { "text": describe(id) } });
    if let Some(known) = Rule::by_name(id) {
        rule["helpUri"] = json!(known.url());
    }
    rule
}

/// What a code or rule stands for.
fn describe(code: &str) -> &'static str {
    let rule = RULES
        .iter()
        .find(|rule| rule.name == code)
        .map(|rule| rule.description);
    rule.or_else(|| {
        CODES
            .iter()
            .find(|info| info.code == code)
            .map(|info| info.title.trim())
    })
    .unwrap_or_default()
}

/// A path as the relative part of a URI.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lint, parse};

    const TEXT: &str = "FROM scratch AS Bäd\nCOPPY a b\n";

    fn diagnostics() -> Vec<Diagnostic> {
        let parsed = parse(TEXT);
        let mut all = parsed.diagnostics;
        all.extend(
            lint::check(&parsed.file, &lint::Options::default())
                .unwrap()
                .warnings,
        );
        all
    }

    #[test]
    fn json_has_what_scripts_read() {
        let diagnostics = diagnostics();
        let value = Report {
            path: "Dockerfile",
            text: TEXT,
            diagnostics: &diagnostics,
        }
        .to_json();
        let warning = &value["warnings"][0];
        assert_eq!(
            (warning["rule"].as_str(), warning["line"].as_u64()),
            (Some("StageNameCasing"), Some(1))
        );
        assert_eq!(
            warning["url"],
            "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"
        );
        let error = &value["errors"][1];
        assert_eq!(
            error["message"],
            "unknown instruction: COPPY (did you mean COPY?)"
        );
        assert_eq!(
            error["place"]["start"],
            json!({ "offset": 21, "line": 2, "column": 1 })
        );
        assert_eq!(error["fix"]["replacement"], "COPY");
        assert_eq!(error["description"], "unknown instruction");
        assert_eq!(
            error["parse_error"],
            "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)"
        );
        assert_eq!(warning["parse_error"], Value::Null);
    }

    #[test]
    fn sarif_points_at_rules_and_places() {
        let diagnostics = diagnostics();
        let value = Report {
            path: "my dir/Dockerfile",
            text: TEXT,
            diagnostics: &diagnostics,
        }
        .to_sarif("1.0");
        let run = &value["runs"][0];
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(
                run["tool"]["driver"]["rules"][index]["id"],
                result["ruleId"]
            );
            assert_eq!(
                result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
                "my%20dir/Dockerfile"
            );
        }
        let region = &run["results"][2]["locations"][0]["physicalLocation"]["region"];
        assert_eq!(
            *region,
            json!({ "startLine": 1, "startColumn": 17, "endLine": 1, "endColumn": 20 })
        );
    }
}
