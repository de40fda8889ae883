//! Fills a tree with values.

use serde_json::Value;

use super::functions;
use super::parse::{Command, Node, Operand, Pipeline};

/// Fields whose values are maps: a name that is not in one is no mistake.
const MAPS: &[&str] = &[
    "Labels",
    "Ports",
    "Networks",
    "ExposedPorts",
    "Volumes",
    "Options",
    "Annotations",
    "Sysctls",
    "Tmpfs",
];

/// What a field that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A mistake.
    Refuse,
    /// Its own name in capitals: for headings. Functions leave their value as it is.
    Name,
}

/// The dot, and the variables.
#[derive(Debug)]
pub struct Scope {
    dot: Value,
    variables: Vec<(String, Value)>,
    missing: Missing,
}

impl Scope {
    /// The dot is the whole value, as is `$`.
    pub fn new(value: Value, missing: Missing) -> Self {
        let variables = vec![(String::new(), value.clone())];
        Self {
            dot: value,
            variables,
            missing,
        }
    }

    /// Evaluates `nodes` with another dot and more variables, and forgets them.
    fn within(
        &mut self,
        dot: Value,
        variables: Vec<(String, Value)>,
        inside: &[Node],
        text: &mut String,
    ) -> Result<(), String> {
        let before = std::mem::replace(&mut self.dot, dot);
        let count = self.variables.len();
        self.variables.extend(variables);
        let done = nodes(inside, self, text);
        self.variables.truncate(count);
        self.dot = before;
        done
    }

    fn variable(&self, name: &str) -> Result<&Value, String> {
        let found = self.variables.iter().rev().find(|(own, _)| own == name);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| format!("there is no variable `${name}`"))
    }
}

/// Appends what `nodes` come to.
pub fn nodes(nodes: &[Node], scope: &mut Scope, text: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(literal) => text.push_str(literal),
            Node::Print(pipeline) => {
                let value = evaluate(pipeline, scope)?;
                match pipeline.variables.first() {
                    Some(name) => scope.variables.push((name.clone(), value)),
                    None => text.push_str(&top(&value)),
                }
            }
            Node::If(branches, otherwise) => {
                let mut chosen = otherwise;
                for (condition, nodes) in branches {
                    if functions::is_true(&evaluate(condition, scope)?) {
                        chosen = nodes;
                        break;
                    }
                }
                let dot = scope.dot.clone();
                scope.within(dot, Vec::new(), chosen, text)?;
            }
            Node::With(pipeline, inside, otherwise) => {
                let value = evaluate(pipeline, scope)?;
                if functions::is_true(&value) {
                    let variables = pipeline
                        .variables
                        .iter()
                        .map(|name| (name.clone(), value.clone()))
                        .collect();
                    scope.within(value, variables, inside, text)?;
                } else {
                    let dot = scope.dot.clone();
                    scope.within(dot, Vec::new(), otherwise, text)?;
                }
            }
            Node::Range(pipeline, inside, otherwise) => {
                range(pipeline, inside, otherwise, scope, text)?
            }
        }
    }
    Ok(())
}

fn range(
    pipeline: &Pipeline,
    inside: &[Node],
    otherwise: &[Node],
    scope: &mut Scope,
    text: &mut String,
) -> Result<(), String> {
    let items: Vec<(Value, Value)> = match evaluate(pipeline, scope)? {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| (Value::from(at), item))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, item)| (Value::String(key), item))
            .collect(),
        Value::Null => Vec::new(),
        // A heading has no rows.
        _ if scope.missing == Missing::Name => Vec::new(),
        other => return Err(format!("`range` cannot go over `{}`", plain(&other))),
    };
    if items.is_empty() {
        let dot = scope.dot.clone();
        return scope.within(dot, Vec::new(), otherwise, text);
    }
    for (key, item) in items {
        let variables = match pipeline.variables.as_slice() {
            [] => Vec::new(),
            [one] => vec![(one.clone(), item.clone())],
            [first, second, ..] => vec![(first.clone(), key), (second.clone(), item.clone())],
        };
        scope.within(item, variables, inside, text)?;
    }
    Ok(())
}

fn evaluate(pipeline: &Pipeline, scope: &Scope) -> Result<Value, String> {
    let mut handed = None;
    for command in &pipeline.commands {
        handed = Some(run(command, handed, scope)?);
    }
    handed.ok_or_else(|| "nothing where a value should be".to_owned())
}

fn run(command: &Command, handed: Option<Value>, scope: &Scope) -> Result<Value, String> {
    let Some((first, rest)) = command.words.split_first() else {
        return Err("nothing where a value should be".to_owned());
    };
    let mut arguments = rest
        .iter()
        .map(|word| operand(word, scope))
        .collect::<Result<Vec<_>, _>>()?;
    arguments.extend(handed);
    match first {
        Operand::Function(name) if scope.missing == Missing::Name => {
            functions::check(name)?;
            Ok(arguments.into_iter().next_back().unwrap_or_default())
        }
        Operand::Function(name) => functions::call(name, &arguments),
        Operand::Field(names)
            if names.last().is_some_and(|name| name == "Label") && !arguments.is_empty() =>
        {
            functions::label(&scope.dot, &arguments)
        }
        value if arguments.is_empty() => operand(value, scope),
        _ => Err("a value that is no function has arguments".to_owned()),
    }
}

fn operand(operand: &Operand, scope: &Scope) -> Result<Value, String> {
    match operand {
        Operand::Literal(value) => Ok(value.clone()),
        Operand::Field(names) => field(&scope.dot, names, scope.missing),
        Operand::Variable(name, names) => field(scope.variable(name)?, names, scope.missing),
        Operand::Group(pipeline, names) => field(&evaluate(pipeline, scope)?, names, scope.missing),
        Operand::Function(name) => functions::call(name, &[]),
    }
}

fn field(value: &Value, names: &[String], missing: Missing) -> Result<Value, String> {
    let mut found = value;
    let mut in_map = false;
    for name in names {
        let next = found.get(name);
        found = match next {
            Some(next) => next,
            None if missing == Missing::Name => return Ok(Value::String(name.to_uppercase())),
            None if in_map => return Ok(Value::Null),
            None => {
                return Err(format!(
                    "there is no field `{name}` in `{}`",
                    names.join(".")
                ));
            }
        };
        in_map = MAPS.contains(&name.as_str());
    }
    Ok(found.clone())
}

/// A value as an action prints it.
fn top(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        other => plain(other),
    }
}

/// A value as Go prints it inside others.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key}:{}", plain(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}
