//! Templates in the language of Go's `text/template`, as `--format` takes them: fields, literals, variables, pipelines, `if`, `with`, `range`
//! and docker's functions. What is not in it is refused by name.
//!
//! [`lex`] cuts the text into pieces and tokens, [`parse`] makes a tree of them, [`evaluate`] fills it with JSON values.

mod evaluate;
mod functions;
mod lex;
mod parse;

use serde_json::Value;

use crate::error::CommandError;
use evaluate::{Missing, Scope};
use parse::Node;

/// Exit code of a template that cannot be read, as docker's.
const UNREADABLE: u8 = 64;

/// A template that has been read.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template; `\t` and `\n` in its text are escapes.
    ///
    /// # Errors
    ///
    /// Wrong usage, with exit code 64, when it cannot be read.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let read = lex::pieces(text).and_then(|pieces| parse::parse(&pieces));
        let nodes = read.map_err(|message| {
            CommandError::usage(format!("template `{text}`: {message}")).code(UNREADABLE)
        })?;
        Ok(Self { nodes })
    }

    /// The text for one value.
    ///
    /// # Errors
    ///
    /// A field that is not there, or a function given what it does not take.
    pub fn fill(&self, value: &Value) -> Result<String, CommandError> {
        self.fill_with(value, Missing::Refuse)
    }

    /// The heading of a table: `heads` has a name for each field it knows; others are named after themselves.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`].
    pub fn heading(&self, heads: &Value) -> Result<String, CommandError> {
        self.fill_with(heads, Missing::Name)
    }

    fn fill_with(&self, value: &Value, missing: Missing) -> Result<String, CommandError> {
        let mut text = String::new();
        let mut scope = Scope::new(value.clone(), missing);
        evaluate::nodes(&self.nodes, &mut scope, &mut text)
            .map_err(|message| CommandError::usage(format!("template: {message}")).code(1))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(text: &str) -> Result<String, String> {
        let value = json!({
            "Name": "/web", "State": {"Status": "running", "Pid": 7, "Running": true, "Health": null},
            "List": ["a", "b"], "Empty": [], "Labels": {"k": "v", "other.key": "w"}, "Zero": 0, "Text": "One two",
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null},
        });
        let template = Template::parse(text).map_err(|error| error.text())?;
        template.fill(&value).map_err(|error| error.text())
    }

    #[test]
    fn fills_what_scripts_use() {
        let cases = [
            ("{{.Name}}", "/web"),
            ("{{ .State.Status }}:{{.State.Pid}}", "running:7"),
            (
                "{{json .State}}",
                r#"{"Health":null,"Pid":7,"Running":true,"Status":"running"}"#,
            ),
            ("{{.List | json}} {{.List}}", r#"["a","b"] [a b]"#),
            (
                "{{index .Labels \"k\"}} {{.Labels.k}} {{index .List 1}}",
                "v v b",
            ),
            (
                "{{.Labels}} {{.Labels.nothing}}",
                "map[k:v other.key:w] <no value>",
            ),
            ("a\\tb\\n", "a\tb\n"),
            ("{{range .List}}<{{.}}>{{end}}", "<a><b>"),
            ("{{range $i, $x := .List}}{{$i}}={{$x}} {{end}}", "0=a 1=b "),
            (
                "{{range $k, $v := .Labels}}{{$k}}:{{$v}};{{end}}",
                "k:v;other.key:w;",
            ),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            (
                "{{range $p, $c := .Ports}}{{$p}} -> {{if $c}}{{(index $c 0).HostPort}}{{else}}-{{end}} {{end}}",
                "80/tcp -> 8080 81/tcp -> - ",
            ),
            ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            (
                "{{if eq .State.Status \"exited\"}}1{{else if eq .State.Pid 7}}2{{else}}3{{end}}",
                "2",
            ),
            ("{{if and .State.Running (not .Zero)}}yes{{end}}", "yes"),
            (
                "{{if .State.Health}}x{{end}}{{with .State}}{{.Pid}} {{$.Name}}{{end}}",
                "7 /web",
            ),
            (
                "{{join .List \", \"}} {{split .Text \" \"}} {{upper .Text}} {{lower .Text}} {{title .Name}}",
                "a, b [One two] ONE TWO one two /Web",
            ),
            (
                "{{len .List}} {{slice .Name 1}} {{truncate .Text 5}} {{pad .State.Pid 1 2}}|",
                "2 web One t  7  |",
            ),
            (
                "{{printf \"%s-%d-%v-%q-%5d|%-3s|%%\" .Name .State.Pid .List .Text 42 \"x\"}}",
                "/web-7-[a b]-\"One two\"-   42|x  |%",
            ),
            ("{{println .Name}}{{print .State.Pid .Zero}}", "/web\n7 0"),
            ("a {{- \" b \" -}} c{{/* a remark */}}", "a b c"),
            (
                "{{$x := .Name}}{{$x}}{{`raw`}}{{true}}{{-3}}",
                "/webrawtrue-3",
            ),
            (
                "{{.State.Pid | printf \"%03d\"}}{{ne .Zero 1}}{{gt .State.Pid 3}}{{or .Zero \"else\"}}",
                "007truetrueelse",
            ),
            ("{{.Label \"k\"}}", "v"),
            (
                "{{.}}",
                "map[Empty:[] Labels:map[k:v other.key:w] List:[a b] Name:/web Ports:map[80/tcp:[map[HostIp:0.0.0.0 HostPort:8080]] 81/tcp:<nil>] State:map[Health:<nil> Pid:7 Running:true Status:running] Text:One two Zero:0]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_by_name() {
        let cases = [
            ("{{.Nope}}", "there is no field `Nope`"),
            ("{{.State.Nope}}", "there is no field `Nope`"),
            ("{{.Name.Nope}}", "there is no field `Nope`"),
            ("{{.Name", "`{{` without `}}`"),
            ("{{if .Name}}x", "`if` without `{{end}}`"),
            ("{{end}}", "`{{end}}` without"),
            ("{{nope .Name}}", "there is no function `nope`"),
            ("{{$x}}", "there is no variable `$x`"),
            ("{{template \"x\"}}", "there is no function `template`"),
            ("{{index .List 7}}", "`index`"),
            ("{{len .State.Pid}}", "`len`"),
            ("{{\"open}}", "string"),
            ("{{(.Name}}", "parenthesis"),
            ("{{}}", "nothing"),
        ];
        for (text, expected) in cases {
            let message = fill(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let text = format!(
            "{{{{{}.Name{}}}}}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        assert!(fill(&text).is_err());
        let text = "{{if 1}}".repeat(100_000);
        assert!(fill(&text).is_err());
    }

    #[test]
    fn headings_name_what_they_do_not_know() {
        let template =
            Template::parse("{{.ID}}\\t{{.Other}}\\t{{json .ID}}").expect("it can be read");
        let heads = json!({"ID": "CONTAINER ID"});
        assert_eq!(
            template.heading(&heads).expect("it has a heading"),
            "CONTAINER ID\tOTHER\tCONTAINER ID"
        );
    }
}
