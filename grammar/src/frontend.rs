//! Which language a file is written in: the `syntax` directive, in all the places where the reference looks for it.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, codes};
use crate::span::Span;

/// The build argument that replaces the directive.
pub const ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// The name of the language that is built in, whatever the file says.
const BUILT_IN: &str = "dockerfile.v0";

/// Directives that may stand in front of `syntax`, which itself ends the search.
const OTHERS: [&str; 2] = ["escape", "check"];

/// What a file, or whoever builds it, asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// The image of the frontend.
    pub image: String,
    /// The line that says so, or the value in a JSON document.
    pub span: Span,
}

/// Finds `# syntax=`, then `// syntax=`, then `"syntax"` in a JSON document; a byte order mark and a `#!` line may stand above.
pub fn syntax(text: &str) -> Option<Syntax> {
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    if text[start..].starts_with("#!") {
        start = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline + 1);
    }
    directive(text, start, "#")
        .or_else(|| directive(text, start, "//"))
        .or_else(|| document(text, start))
}

/// The `syntax` among the directives at the top that begin with `comment`.
fn directive(text: &str, mut start: usize, comment: &str) -> Option<Syntax> {
    for line in text[start..].split_inclusive('\n') {
        let (name, value) = line.trim().strip_prefix(comment)?.split_once('=')?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "syntax" {
            let begin = start + line.len() - line.trim_start().len();
            let span = Span::new(begin, begin + line.trim().len());
            return image(value).map(|image| Syntax { image, span });
        }
        if value.is_empty() || !OTHERS.contains(&name.as_str()) {
            return None;
        }
        start += line.len();
    }
    None
}

/// `{"syntax": "image", ..}`, all values being strings.
fn document(text: &str, start: usize) -> Option<Syntax> {
    let body = &text[start..];
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let values: BTreeMap<String, String> = serde_json::from_str(body).ok()?;
    let value = values.get("syntax")?;
    // Escapes in it would hide it; then the document as a whole is pointed at.
    let span = body
        .find(value.as_str())
        .map_or(Span::new(start, text.len()), |offset| {
            Span::new(start + offset, start + offset + value.len())
        });
    image(value).map(|image| Syntax { image, span })
}

/// Options for the frontend may follow its image.
fn image(value: &str) -> Option<String> {
    value.split_whitespace().next().map(ToOwned::to_owned)
}

/// The error of a file in another language than this one. `argument` is the value of [`ARGUMENT`].
pub fn check(text: &str, argument: Option<&str>) -> Option<Diagnostic> {
    let found = syntax(text);
    let given = argument.and_then(image);
    if given.as_deref() == Some(BUILT_IN) {
        return None;
    }
    let place = found
        .as_ref()
        .map_or_else(|| Span::at(0), |syntax| syntax.span);
    let (wanted, origin) = match (given, found) {
        (Some(given), _) => (given, ARGUMENT),
        (None, Some(found)) => (found.image, "syntax"),
        (None, None) => return None,
    };
    if is_dockerfile(&wanted) {
        return None;
    }
    let message = format!(
        "{origin} asks for the frontend {wanted}; kiln reads the language of docker/dockerfile only"
    );
    Some(Diagnostic::error(codes::FRONTEND, place, message).help(format!(
        "remove it, or pass `--build-arg {ARGUMENT}={BUILT_IN}` to read the file as a Dockerfile all the same"
    )))
}

/// Whether an image is `docker/dockerfile` or a variety of it, from whatever registry or mirror, with whatever tag or digest.
fn is_dockerfile(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or(image);
    let mut parts = name.rsplit('/');
    let last = parts.next().unwrap_or_default();
    let repository = last.split(':').next().unwrap_or(last);
    repository.starts_with("dockerfile") && parts.next() == Some("docker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_directive() {
        let shown =
            |text: &str| syntax(text).map(|found| (found.image, found.span.of(text).to_owned()));
        let found = |image: &str, place: &str| Some((image.to_owned(), place.to_owned()));
        for (text, expected) in [
            ("# syntax=a/b:1\nFROM x\n", found("a/b:1", "# syntax=a/b:1")),
            ("\u{feff}#Syntax = a \r\n", found("a", "#Syntax = a")),
            (
                "# escape=`\n  # SYNTAX=a opt\n",
                found("a", "# SYNTAX=a opt"),
            ),
            (
                "#!/usr/bin/env kiln\n# syntax=a\n",
                found("a", "# syntax=a"),
            ),
            ("// syntax=a\nanything\n", found("a", "// syntax=a")),
            (
                "#!x\n//check=skip=all\n// syntax = a\n",
                found("a", "// syntax = a"),
            ),
            ("{\"syntax\": \"a b\", \"c\": \"d\"}\n", found("a", "a b")),
            (
                "#!x\n{\n\"syntax\": \"a\\/b\"\n}",
                found("a/b", "{\n\"syntax\": \"a\\/b\"\n}"),
            ),
            ("{\"syntax\": \"a\", \"c\": 1}", None),
            ("# a comment\n# syntax=a\n", None),
            ("\n# syntax=a\n", None),
            ("# other=1\n# syntax=a\n", None),
            ("FROM x\n# syntax=a\n", None),
            ("# syntax=\n", None),
            ("#!no end", None),
            ("", None),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn frontends_that_are_this_language() {
        for image in [
            "docker/dockerfile",
            "docker/dockerfile:1",
            "docker/dockerfile:1.7-labs",
            "docker.io/docker/dockerfile-upstream:master",
            "docker/dockerfile:1@sha256:0123",
            "mirror.example.com:5000/hub/docker/dockerfile:1.4",
        ] {
            assert!(
                check(&format!("# syntax={image}\n"), None).is_none(),
                "{image}"
            );
        }
        for image in [
            "dockerfile",
            "docker/other",
            "r.example.com/buildpack:1",
            "my/dockerfile:1",
        ] {
            let text = format!("# syntax={image}\nFROM x\n");
            let error = check(&text, None).unwrap_or_else(|| panic!("{image} is another language"));
            assert!(error.message.contains(image), "{}", error.message);
            assert_eq!(
                error.span().of(&text),
                text.lines().next().unwrap_or_default()
            );
            assert!(check(&text, Some("dockerfile.v0")).is_none());
            assert!(check(&text, Some("docker/dockerfile:1")).is_none());
        }
        let error = check("FROM x\n", Some("my/own")).map(|error| error.message);
        assert!(error.is_some_and(|message| {
            message.starts_with("BUILDKIT_SYNTAX asks for the frontend my/own")
        }));
    }
}
