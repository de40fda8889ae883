//! One record of comma-separated values, as Go's `encoding/csv` reads it.

use super::MountError;

/// The fields of `text`. A field that starts with `"` goes to the closing quote, `""` inside is one quote.
pub(super) fn fields(text: &str) -> Result<Vec<String>, MountError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if rest.starts_with('"') {
            quoted(rest)?
        } else {
            bare(rest)?
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn bare(text: &str) -> Result<(String, Option<&str>), MountError> {
    let (field, after) = text
        .split_once(',')
        .map_or((text, None), |(field, after)| (field, Some(after)));
    if field.contains('"') {
        return Err(MountError(
            "failed to parse csv mounts: bare \" in non-quoted field".to_owned(),
        ));
    }
    Ok((field.to_owned(), after))
}

fn quoted(text: &str) -> Result<(String, Option<&str>), MountError> {
    let unbalanced = || {
        MountError(
            "failed to parse csv mounts: extraneous or missing \" in quoted-field".to_owned(),
        )
    };
    let mut field = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find('"').ok_or_else(unbalanced)?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if let Some(after) = rest.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if rest.is_empty() {
            return Ok((field, None));
        } else {
            return rest
                .strip_prefix(',')
                .map(|after| (field, Some(after)))
                .ok_or_else(unbalanced);
        }
    }
}
