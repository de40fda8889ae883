//! The configuration of a finished stage: layers, history, times. Pure.
//!
//! An image that no step changed is the same again whenever it is built: its times are those of its layers, of its base, or
//! the beginning of time, never the present.

use kiln_store::{Descriptor, History, ImageConfig, media_type};

use crate::cache::StepResult;
use crate::graph::Stage;

/// What tools know BuildKit's Dockerfile builds by; kiln's histories read the same.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Completes the configuration: layers, history and times.
pub(super) fn configure(
    stage: &Stage,
    results: &[Option<StepResult>],
    epoch: Option<i64>,
) -> ImageConfig {
    let mut config = stage.config.clone();
    config
        .rootfs
        .diff_ids
        .extend(results.iter().flatten().map(|result| result.layer));
    // Without a new layer the image is as old as its base, so that the same file gives the same image again.
    let without_layers = match epoch {
        Some(epoch) => rfc3339(epoch),
        None => stage.base_created.clone().unwrap_or_else(|| rfc3339(0)),
    };
    let mut times: Vec<Option<String>> = results
        .iter()
        .map(|result| result.as_ref().map(|result| rfc3339(result.created)))
        .collect();
    // An instruction without a layer has the time of the next layer, after the last layer that of the last.
    let mut next = None;
    for time in times.iter_mut().rev() {
        match time {
            Some(time) => next = Some(time.clone()),
            None => time.clone_from(&next),
        }
    }
    let last = results
        .iter()
        .flatten()
        .next_back()
        .map(|result| rfc3339(result.created));
    let last = last.unwrap_or(without_layers);
    for (entry, time) in stage.history.iter().zip(times) {
        config.history.push(History {
            created: Some(time.unwrap_or_else(|| last.clone())),
            created_by: Some(entry.created_by.clone()),
            comment: Some(COMMENT.to_owned()),
            empty_layer: entry.layer.is_none(),
            ..History::default()
        });
    }
    config.created = Some(last);
    config
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// A layer of a base image under the name that OCI manifests use for it. Foreign layers keep theirs: it says where they are.
pub(super) fn as_oci(layer: &Descriptor) -> Descriptor {
    let mut layer = layer.clone();
    let name = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER => media_type::OCI_LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::OCI_LAYER_GZIP,
        media_type::DOCKER_LAYER_ZSTD => media_type::OCI_LAYER_ZSTD,
        _ => return layer,
    };
    layer.media_type = name.to_owned();
    layer
}

/// A layer that a step made, by its tar.
pub(super) fn new_layer(result: &StepResult) -> Descriptor {
    Descriptor::new(media_type::OCI_LAYER, *result.layer.digest(), result.bytes)
}
