//! `kiln commit`: an image of what a container has changed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use kiln_builder::{BuildRequest, Event, ImageError, Images, PullPolicy, Sink};
use kiln_runtime::container::{Config, Container, Containers, Status};
use kiln_store::{
    Descriptor, DiffId, History, Image, ImageConfig, LayerRecord, Platform, Reference, media_type,
};

use crate::cli::CommitArgs;
use crate::error::CommandError;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// The instructions that `--change` takes: docker's.
const CHANGES: [&str; 9] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "LABEL",
    "ONBUILD",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What the container's image is called in the Dockerfile that applies the changes.
const BASE: &str = "container";

/// Makes an image of a container.
pub fn commit(args: &CommitArgs, settings: &Settings) -> Result<u8, CommandError> {
    let tag = args.image.as_deref().map(reference).transpose()?;
    check(&args.change)?;
    let host = Host::local(settings)?;
    let containers = Containers::open(host.store.clone())?;
    let container = containers.find(&args.container)?;
    let image = host
        .store
        .image(&container.config().image.manifest)
        .with_context(|| format!("reading the image of container {}", container.name()))?;
    let layer = {
        let _paused = Paused::new(&container, args.pause)?;
        containers.commit(&container)?
    };
    let made = compose(args, image, container.config(), &layer)?;
    let id = store(&host, made, &args.change, tag)?;
    host.settle_later()?;
    output::data(&format!("{id}\n"))?;
    Ok(0)
}

fn reference(name: &str) -> Result<Reference, CommandError> {
    let reference: Reference = name.parse()?;
    Ok(reference.with_default_tag())
}

/// Refuses what is no change of an image's configuration, before anything is done.
fn check(changes: &[String]) -> Result<(), CommandError> {
    for change in changes {
        let word = change.split_whitespace().next().unwrap_or_default();
        if !CHANGES.contains(&word.to_uppercase().as_str()) || change.contains('\n') {
            return Err(
                CommandError::usage(format!("{word} is not a valid change command"))
                    .code(1)
                    .hint("CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, USER, VOLUME and WORKDIR are, on one line each"),
            );
        }
    }
    Ok(())
}

/// A container that is frozen until this is dropped.
struct Paused<'a>(Option<&'a Container>);

impl<'a> Paused<'a> {
    fn new(container: &'a Container, wanted: bool) -> Result<Self, CommandError> {
        let state = container.state()?;
        if !wanted || state.paused || state.status != Status::Running {
            return Ok(Self(None));
        }
        match container.pause() {
            Ok(()) => Ok(Self(Some(container))),
            // It ended just then.
            Err(_) if !container.is_running()? => Ok(Self(None)),
            Err(error) => {
                output::talk(&format!("notice: the container goes on meanwhile: {error}"));
                Ok(Self(None))
            }
        }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(container) = self.0
            && let Err(error) = container.unpause()
        {
            output::talk(&format!("warning: {error}"));
        }
    }
}

/// The container's image with the new layer, and with what the container was told beside its files.
fn compose(
    args: &CommitArgs,
    image: Image,
    container: &Config,
    layer: &LayerRecord,
) -> Result<Image, CommandError> {
    let mut config = image.config;
    let now = jiff::Timestamp::now().to_string();
    let process = &container.process;
    let list = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    config.config.entrypoint = list(&process.entrypoint);
    config.config.cmd = list(&process.command);
    config.config.env.clone_from(&process.env);
    config.config.user.clone_from(&process.user);
    config.config.labels.clone_from(&container.labels);
    if process.cwd != "/" || !config.config.working_dir.is_empty() {
        config.config.working_dir.clone_from(&process.cwd);
    }
    for port in &container.exposed_ports {
        config.config.exposed_ports.0.insert(port.to_string());
    }
    config.created = Some(now.clone());
    if let Some(author) = &args.author {
        config.author = Some(author.clone());
    }
    add_layer(&mut config, &layer.diff_id);
    config.history.push(History {
        created: Some(now),
        created_by: Some(process.argv().join(" ")),
        author: args.author.clone(),
        comment: args.message.clone(),
        ..History::default()
    });
    let mut manifest = image.manifest;
    manifest.layers.push(Descriptor::new(
        media_type::OCI_LAYER,
        *layer.diff_id.digest(),
        layer.tar_size,
    ));
    let config_bytes = config.to_bytes()?;
    Ok(Image {
        config,
        config_bytes,
        manifest,
        ..image
    })
}

fn add_layer(config: &mut ImageConfig, layer: &DiffId) {
    "layers".clone_into(&mut config.rootfs.kind);
    config.rootfs.diff_ids.push(*layer);
}

/// Stores the image, changed as the instructions say: by building a Dockerfile of them.
fn store(
    host: &Host,
    image: Image,
    changes: &[String],
    tag: Option<Reference>,
) -> Result<kiln_store::ImageId, CommandError> {
    let mut request = BuildRequest::new(format!("FROM {BASE}\n{}\n", changes.join("\n")));
    request.dockerfile_name = "--change".to_owned();
    request.platform = Some(image.config.platform());
    request.tags = tag.into_iter().collect();
    let mut builder = host.for_build()?;
    builder.images = Arc::new(Only(image));
    let built = kiln_builder::build(&request, &builder, &|_: Event<'_>| {})?;
    Ok(built.image.id)
}

/// The one image that such a build is made from.
struct Only(Image);

impl Images for Only {
    fn image(
        &self,
        _reference: &Reference,
        _platform: &Platform,
        _pull: PullPolicy,
        _events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        Ok(self.0.clone())
    }

    fn layout(
        &self,
        directory: &Path,
        image: &str,
        _platform: &Platform,
        _events: &dyn Sink,
    ) -> Result<Image, ImageError> {
        let message = format!("{image} of {} is not asked for", directory.display());
        Err(ImageError::NotFound(message))
    }
}
