//! The repositories of a registry, page by page. Docker Hub and others keep no such list.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::auth::Scopes;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::remote::next_page;
use crate::transport::{Meter, Request};

/// Repositories asked for in one request: ACR refuses more.
const PAGE: usize = 100;

/// The longest page that is read.
const PAGE_LIMIT: u64 = 8 << 20;

#[derive(Deserialize)]
struct Page {
    repositories: Option<Vec<String>>,
}

impl Client {
    /// The repositories of a registry, sorted.
    pub async fn catalog(&self, registry: &str) -> Result<Vec<String>> {
        let host = self.host(crate::routes::Endpoint::of(registry))?;
        let meter: Arc<Meter> = Arc::default();
        let first = host.url(&format!("_catalog?n={PAGE}"), &meter).await?;
        let mut request = Request::new(Method::GET, first.clone(), meter.clone());
        let mut names = BTreeSet::new();
        let mut pages = BTreeSet::from([first]);
        loop {
            let answer = host.send(&request, "", &Scopes::none()).await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                    return Err(Error::Options(format!(
                        "{registry} keeps no list of its repositories"
                    )));
                }
                _ => return Err(answer.into_error().await),
            }
            let next = next_page(&answer)?;
            let from = answer.shown_url();
            let body = answer.bytes(PAGE_LIMIT).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|_| Error::protocol(&from, "the answer is not a list of repositories"))?;
            names.extend(page.repositories.unwrap_or_default());
            // A registry that sends us in a circle has told everything.
            match next.filter(|url| pages.insert(url.clone())) {
                Some(url) => request = Request::new(Method::GET, url, meter.clone()),
                None => return Ok(names.into_iter().collect()),
            }
        }
    }
}
