//! The tags of a repository, page by page.

use std::collections::BTreeSet;

use reqwest::header::LINK;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::content::Repository;
use crate::error::{Error, Result};
use crate::transport::{Answer, Request, same_origin};

use super::RemoteRepository;

/// Tags asked for in one request. ECR refuses more than 1000, ACR and others send fewer anyway.
const PAGE: usize = 1000;

/// The longest page that is read: a thousand tags of 128 characters many times over.
const PAGE_LIMIT: u64 = 8 << 20;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl RemoteRepository {
    /// All tags, sorted.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let (first, mut next) = self.first_tags().await?;
        let mut tags = BTreeSet::from_iter(first);
        let mut pages = BTreeSet::new();
        // A registry that sends us in a circle has told everything.
        while let Some(url) = next.filter(|url| pages.insert(url.clone())) {
            let request = Request::new(Method::GET, url, self.meter.clone());
            let (more, after) = self.page_of_tags(&request).await?;
            tags.extend(more);
            next = after;
        }
        Ok(tags.into_iter().collect())
    }

    /// The first page of tags, and where the next one is if there is one.
    pub(super) async fn first_tags(&self) -> Result<(Vec<String>, Option<Url>)> {
        let request = self
            .request(Method::GET, &format!("tags/list?n={PAGE}"))
            .await?;
        self.page_of_tags(&request).await
    }

    async fn page_of_tags(&self, request: &Request) -> Result<(Vec<String>, Option<Url>)> {
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NotFound(self.name())),
            _ => return Err(answer.into_error().await),
        }
        let next = next_page(&answer)?;
        let from = answer.shown_url();
        let body = answer.bytes(PAGE_LIMIT).await?;
        let page: Page = serde_json::from_slice(&body)
            .map_err(|_| Error::protocol(&from, "the answer is not a list of tags"))?;
        Ok((page.tags.unwrap_or_default(), next))
    }
}

/// The address of the next page: `Link: </v2/x/tags/list?last=y>; rel="next"`.
pub(crate) fn next_page(answer: &Answer) -> Result<Option<Url>> {
    let links = answer
        .headers()
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let Some(target) = links.filter_map(parse_next).next() else {
        return Ok(None);
    };
    let url = answer.url.join(&target).map_err(|_| {
        Error::protocol(answer.shown_url(), "the link to its next page is not a URL")
    })?;
    if !same_origin(&url, &answer.url) {
        return Err(Error::protocol(
            answer.shown_url(),
            "the link to its next page leads to another host",
        ));
    }
    Ok(Some(url))
}

fn parse_next(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let (target, parameters) = after.split_once('>')?;
        let end = parameters
            .find(",<")
            .or_else(|| parameters.find(", <"))
            .unwrap_or(parameters.len());
        let is_next = parameters[..end].split(';').any(|parameter| {
            let parameter = parameter.trim().trim_end_matches(',').to_ascii_lowercase();
            matches!(
                parameter.replace(' ', "").as_str(),
                "rel=\"next\"" | "rel=next"
            )
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = &parameters[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let check = |header: &str, expect: Option<&str>| {
            assert_eq!(parse_next(header).as_deref(), expect, "{header}")
        };
        check(
            r#"</v2/a/tags/list?last=b&n=1>; rel="next""#,
            Some("/v2/a/tags/list?last=b&n=1"),
        );
        check("<?last=b>;rel=next", Some("?last=b"));
        check(
            r#"</first>; rel="first", </second>; rel="next""#,
            Some("/second"),
        );
        check(r#"</first>; rel="first""#, None);
        check("", None);
        check("<broken", None);
    }
}
