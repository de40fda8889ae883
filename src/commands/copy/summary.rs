//! What a copy did, in one line or one object.

use std::time::Duration;

use kiln_registry::{Copied, Place};
use serde_json::{Value, json};

use crate::cli::CopyArgs;
use crate::format;
use crate::output::Summary;

/// The closing summary of a copy.
pub fn of(
    args: &CopyArgs,
    source: &Place,
    target: &Place,
    copied: &Copied,
    elapsed: Duration,
) -> Summary {
    let verb = if args.dry_run { "would copy" } else { "copied" };
    let mut text = format!(
        "{verb} {source} to {target} in {}",
        format::duration(elapsed)
    );
    text.push_str(&format!(
        ": {} requests, {} received, {} sent; blobs: {} sent, {} mounted, {} already there",
        copied.traffic.requests,
        format::size(copied.traffic.received),
        format::size(copied.traffic.sent),
        copied.sent,
        copied.mounted,
        copied.skipped,
    ));
    if copied.companions > 0 {
        text.push_str(&format!(
            "; {} signatures and other referrers",
            copied.companions
        ));
    }
    text.push_str(&crate::commands::waited(&copied.traffic));
    if copied.digest != copied.source {
        text.push_str(&format!(
            "\nthe digest has changed: {} is now {}",
            copied.source, copied.digest
        ));
    }
    let changed = copied.digest != copied.source;
    let value: Value = json!({
        "event": "summary",
        "work": if args.dry_run { "dry-run" } else { "copy" },
        "source": source.to_string(),
        "target": target.to_string(),
        "digest": copied.digest.to_string(),
        "sourceDigest": copied.source.to_string(),
        "digestChanged": changed,
        "seconds": elapsed.as_secs_f64(),
        "requests": copied.traffic.requests,
        "bytesReceived": copied.traffic.received,
        "bytesSent": copied.traffic.sent,
        "blobsSent": copied.sent,
        "blobBytesSent": copied.sent_bytes,
        "blobsMounted": copied.mounted,
        "blobsSkipped": copied.skipped,
        "manifests": copied.manifests,
        "referrers": copied.companions,
        "secondsWaited": copied.traffic.waited.as_secs_f64(),
    });
    Summary { text, value }
}
