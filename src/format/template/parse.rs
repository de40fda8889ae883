//! Makes a tree of a template's pieces.

use serde_json::Value;

use super::lex::{Piece, Token};

/// How deep blocks and parentheses may nest: people's templates have two or three.
const MAX_DEPTH: usize = 100;

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    Print(Pipeline),
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands that hand their values on, and the variables that take the last one.
#[derive(Debug)]
pub struct Pipeline {
    pub variables: Vec<String>,
    pub commands: Vec<Command>,
}

/// A function or a value, with arguments.
#[derive(Debug)]
pub struct Command {
    pub words: Vec<Operand>,
}

/// What a command consists of.
#[derive(Debug)]
pub enum Operand {
    Function(String),
    Literal(Value),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Group(Pipeline, Vec<String>),
}

/// The tree of a template.
pub fn parse(pieces: &[Piece]) -> Result<Vec<Node>, String> {
    let mut parser = Parser { pieces, depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some(tokens) => Err(format!(
            "`{{{{{}}}}}` without what it belongs to",
            keyword(tokens).unwrap_or_default()
        )),
    }
}

struct Parser<'a> {
    pieces: &'a [Piece],
    depth: usize,
}

/// Nodes, and the `end` or `else` that stopped them.
type Block<'a> = (Vec<Node>, Option<&'a [Token]>);

impl<'a> Parser<'a> {
    fn block(&mut self) -> Result<Block<'a>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it nests too deep".to_owned());
        }
        let mut nodes = Vec::new();
        while let Some((piece, rest)) = self.pieces.split_first() {
            self.pieces = rest;
            let node = match piece {
                Piece::Text(text) => Node::Text(text.clone()),
                Piece::Action(tokens) => match keyword(tokens) {
                    Some("end" | "else") => {
                        self.depth -= 1;
                        return Ok((nodes, Some(tokens)));
                    }
                    Some("if") => self.condition(&tokens[1..])?,
                    Some(word @ ("with" | "range")) => self.scoped(word, &tokens[1..])?,
                    _ => Node::Print(pipeline(tokens)?),
                },
            };
            nodes.push(node);
        }
        self.depth -= 1;
        Ok((nodes, None))
    }

    fn condition(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let mut branches = Vec::new();
        let mut condition = pipeline(tokens)?;
        loop {
            let (nodes, end) = self.block()?;
            branches.push((condition, nodes));
            let end = end.ok_or("`if` without `{{end}}`")?;
            if keyword(end) == Some("end") {
                return Ok(Node::If(branches, Vec::new()));
            }
            if keyword(&end[1..]) == Some("if") {
                condition = pipeline(&end[2..])?;
                continue;
            }
            let otherwise = self.last("if")?;
            return Ok(Node::If(branches, otherwise));
        }
    }

    fn scoped(&mut self, word: &str, tokens: &[Token]) -> Result<Node, String> {
        let pipeline = pipeline(tokens)?;
        let (nodes, end) = self.block()?;
        let end = end.ok_or_else(|| format!("`{word}` without `{{{{end}}}}`"))?;
        let otherwise = if keyword(end) == Some("else") {
            self.last(word)?
        } else {
            Vec::new()
        };
        Ok(if word == "with" {
            Node::With(pipeline, nodes, otherwise)
        } else {
            Node::Range(pipeline, nodes, otherwise)
        })
    }

    /// What follows an `else`, up to its `end`.
    fn last(&mut self, word: &str) -> Result<Vec<Node>, String> {
        match self.block()? {
            (nodes, Some(end)) if keyword(end) == Some("end") => Ok(nodes),
            _ => Err(format!("`{word}` without `{{{{end}}}}`")),
        }
    }
}

fn keyword(tokens: &[Token]) -> Option<&str> {
    match tokens.first() {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut rest = tokens;
    let pipeline = commands(&mut rest, 0)?;
    if rest.is_empty() {
        Ok(pipeline)
    } else {
        Err("a closing parenthesis without its opening one".to_owned())
    }
}

/// Reads up to the end or a closing parenthesis, which it leaves.
fn commands(rest: &mut &[Token], depth: usize) -> Result<Pipeline, String> {
    if depth > MAX_DEPTH {
        return Err("it nests too deep".to_owned());
    }
    let variables = variables(rest);
    let mut commands = vec![Command { words: Vec::new() }];
    while let Some((token, after)) = rest.split_first() {
        if matches!(token, Token::Close(_)) {
            break;
        }
        *rest = after;
        let operand = match token {
            Token::Pipe => {
                commands.push(Command { words: Vec::new() });
                continue;
            }
            Token::Open => {
                let inner = self::commands(rest, depth + 1)?;
                let Some((Token::Close(names), after)) = rest.split_first() else {
                    return Err("an opening parenthesis without its closing one".to_owned());
                };
                *rest = after;
                Operand::Group(inner, names.clone())
            }
            Token::Word(word) => Operand::Function(word.clone()),
            Token::Literal(value) => Operand::Literal(value.clone()),
            Token::Field(names) => Operand::Field(names.clone()),
            Token::Variable(name, names) => Operand::Variable(name.clone(), names.clone()),
            Token::Comma | Token::Assign | Token::Close(_) => {
                return Err("`,` or `:=` where a value should be".to_owned());
            }
        };
        if let Some(command) = commands.last_mut() {
            command.words.push(operand);
        }
    }
    if commands.iter().any(|command| command.words.is_empty()) {
        return Err("nothing where a value should be".to_owned());
    }
    Ok(Pipeline {
        variables,
        commands,
    })
}

/// `$x :=` or `$i, $x :=`, if the tokens begin so.
fn variables(rest: &mut &[Token]) -> Vec<String> {
    let name = |token: &Token| match token {
        Token::Variable(name, names) if names.is_empty() => Some(name.clone()),
        _ => None,
    };
    match rest {
        [first, Token::Assign, after @ ..] => {
            if let Some(first) = name(first) {
                *rest = after;
                return vec![first];
            }
        }
        [first, Token::Comma, second, Token::Assign, after @ ..] => {
            if let (Some(first), Some(second)) = (name(first), name(second)) {
                *rest = after;
                return vec![first, second];
            }
        }
        _ => {}
    }
    Vec::new()
}
