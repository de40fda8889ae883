//! `FROM`: where a stage begins, and the triggers of its base.

use std::sync::Arc;

use kiln_grammar::{Diagnostic, Instruction, InstructionKind, Span};
use kiln_store::{ImageConfig, Platform, Reference};

use super::named::LAYOUT;
use super::platform_args::target_platform;
use super::stages::BaseName;
use super::state::{StageState, step_name};
use super::{Base, Lowering, Result, code, fault};
use crate::graph::{BindSource, CopyOp, CopySource, ImageOp, Op, Origin, Vertex, VertexId};

impl Lowering<'_> {
    /// Begins a stage and returns the triggers that run first.
    pub(super) fn begin(&mut self, index: usize) -> Result<(StageState, Vec<Instruction>)> {
        let base = self.plan.bases[index].clone();
        let mut state = match &base.name {
            BaseName::Stage(earlier) => self.begin_on_stage(index, *earlier)?,
            BaseName::Scratch => self.begin_on_scratch(index, base.platform),
            BaseName::Image(name) => self.begin_on_image(index, name, &base.platform)?,
            BaseName::Context(name) => self.begin_on_context(index, name, base.platform),
        };
        let triggers = if base.is_replaced {
            Vec::new()
        } else {
            self.triggers(&mut state, index)?
        };
        let stage = self.plan.stage(index);
        let target = target_platform(self.request);
        state.step_name =
            self.platform_prefix(&state.platform, &target, self.plan.step_name(index));
        state.target_platform = target.to_string();
        state.name = stage.display_name();
        state.done = usize::from(matches!(base.name, BaseName::Image(_)));
        let body = stage.instructions.iter().chain(&triggers);
        state.total = state.done + body.filter(|instruction| makes_step(instruction)).count();
        state.no_cache = self.request.no_cache || self.is_filtered(index);
        if state.done > 0 {
            self.name_image(index, &state);
        }
        Ok((state, triggers))
    }

    /// The name of a stage in the names of its steps: with the platform when there are several, or when the stage's own is
    /// not that of the result.
    fn platform_prefix(
        &self,
        own: &Platform,
        target: &Platform,
        name: Option<String>,
    ) -> Option<String> {
        let several = !self.request.more_platforms.is_empty();
        let platform = match own == target {
            true if several => Some(own.to_string()),
            true => None,
            false => Some(format!("{own}->{}", target.architecture)),
        };
        match (platform, name) {
            (None, name) => name,
            (platform, None) => platform,
            (Some(platform), Some(name)) => Some(format!("{platform} {name}")),
        }
    }

    fn begin_on_stage(&mut self, index: usize, earlier: usize) -> Result<StageState> {
        self.stage(earlier)?;
        let Some(base) = &self.states[earlier] else {
            let span = self.plan.stage(index).instruction.span;
            return Err(fault(
                code::STAGE,
                span,
                "the stage it begins with is not known",
            ));
        };
        let mut state = base.clone();
        state.index = index;
        state.cmd_is_own = false;
        Ok(state)
    }

    fn begin_on_scratch(&mut self, index: usize, platform: Platform) -> StageState {
        let origin = Origin {
            name: "FROM scratch".to_owned(),
            ..Origin::default()
        };
        let vertex = self.graph.add(Vertex {
            root: None,
            sources: Vec::new(),
            op: Op::Scratch,
            origin,
        });
        let mut config = ImageConfig::new(&platform);
        config.config.working_dir = "/".to_owned();
        StageState::new(index, vertex, config, platform, self.escape)
    }

    /// The files of a context are the files that the stage begins with.
    fn begin_on_context(&mut self, index: usize, name: &str, platform: Platform) -> StageState {
        let mut state = self.begin_on_scratch(index, platform);
        let op = CopyOp {
            from: BindSource::Context(name.to_owned()),
            sources: vec![CopySource::Path("/".to_owned())],
            destination: "/".to_owned(),
            chown: None,
            chmod: None,
            exclude: Vec::new(),
            parents: false,
            unpack: false,
            strict: self.request.strict,
        };
        let stage = self.plan.stage(index);
        let origin = Origin {
            name: format!("FROM context {name}"),
            stage: stage.display_name(),
            slot: format!("{} context", stage.display_name()),
            lines: Some(stage.instruction.lines),
            span: stage.from.image.span,
            ..Origin::default()
        };
        let vertex = state.vertex(Op::Copy(Box::new(op)), Vec::new(), origin);
        let vertex = self.graph.add(vertex);
        state.note_layer(&format!("FROM context {name}"), vertex);
        state
    }

    fn begin_on_image(
        &mut self,
        index: usize,
        name: &str,
        platform: &Platform,
    ) -> Result<StageState> {
        let span = self.plan.stage(index).from.image.span;
        let (vertex, base) = self.image(name, platform, span)?;
        self.check_platform(index, name, platform, &base.config.platform())?;
        let mut config = base.config.clone();
        let created = config.created.take();
        let platform = base.config.platform();
        let mut state = StageState::new(index, vertex, config, platform, self.escape);
        state.base_layers.clone_from(&base.layers);
        state.base_created = created;
        Ok(state)
    }

    /// An image for another processor than the one that was asked for is a mistake, not a base. Where nobody asked, its own
    /// is taken, as BuildKit does.
    fn check_platform(
        &self,
        index: usize,
        name: &str,
        wanted: &Platform,
        actual: &Platform,
    ) -> Result<()> {
        let from = self.plan.stage(index).from;
        let is_asked_for = from.platform.is_some() || self.request.platform.is_some();
        if !is_asked_for || wanted.best_match([actual]).is_some() {
            return Ok(());
        }
        let message = format!("{name} is an image for {actual}, and this stage is for {wanted}");
        let failure = fault(code::BASE, from.image.span, message);
        Err(Box::new(failure.help(format!(
            "`--pull` asks the registry for one for {wanted}; a base that only runs while building takes \
             `FROM --platform=$BUILDPLATFORM`"
        ))))
    }

    /// The vertex of an image.
    pub(super) fn image(
        &mut self,
        name: &str,
        platform: &Platform,
        span: Span,
    ) -> Result<(VertexId, Arc<Base>)> {
        let full = if name.starts_with(LAYOUT) {
            name.to_owned()
        } else {
            let reference: Reference = name.parse().map_err(|error| {
                let message = format!("failed to parse stage name \"{name}\": {error}");
                fault(code::BASE, span, message)
            })?;
            reference.with_default_tag().to_string()
        };
        let base = self.bases.base(name, platform).map_err(|reason| {
            let message = format!("failed to resolve source metadata for {full}: {reason}");
            self.suggest_stage(fault(code::BASE, span, message), name)
        })?;
        let layers = base.config.diff_ids().to_vec();
        let op = Op::Image(Box::new(ImageOp {
            reference: full.clone(),
            id: base.id,
            manifest: base.manifest,
            platform: platform.clone(),
            layers,
        }));
        let origin = Origin {
            name: format!("FROM {full}"),
            span,
            ..Origin::default()
        };
        let vertex = self.graph.add(Vertex {
            root: None,
            sources: Vec::new(),
            op,
            origin,
        });
        Ok((vertex, base))
    }

    fn suggest_stage(&self, failure: Box<Diagnostic>, name: &str) -> Box<Diagnostic> {
        let names = self
            .plan
            .stages
            .stages
            .iter()
            .filter_map(|stage| stage.name.as_deref());
        match kiln_grammar::suggest::nearest(name, names) {
            Some(stage) => Box::new(failure.help(format!(
                "there is a stage called `{stage}`: did you mean that?"
            ))),
            None => failure,
        }
    }

    /// Names the vertex of an image after the first stage that begins with it.
    fn name_image(&mut self, index: usize, state: &StageState) {
        let lines = self.plan.stage(index).instruction.lines;
        let origin = &mut self.graph.vertices[state.vertex].origin;
        if origin.lines.is_none() {
            origin.name = step_name(state.step_name.as_deref(), 1, state.total, &origin.name);
            origin.stage.clone_from(&state.name);
            origin.lines = Some(lines);
        }
    }

    fn is_filtered(&self, index: usize) -> bool {
        let name = self.plan.stage(index).name.as_deref();
        let number = index.to_string();
        let names = |filter: &String| {
            name.is_some_and(|name| filter.eq_ignore_ascii_case(name)) || *filter == number
        };
        self.request.no_cache_filter.iter().any(names)
    }

    /// Takes the triggers out of the configuration and parses them.
    fn triggers(&self, state: &mut StageState, index: usize) -> Result<Vec<Instruction>> {
        let triggers = std::mem::take(&mut state.config.config.on_build);
        if triggers.is_empty() {
            return Ok(Vec::new());
        }
        let span = self.plan.stage(index).instruction.span;
        state.trigger_span = Some(span);
        let text = format!("FROM scratch\n{}\n", triggers.join("\n"));
        let file = kiln_grammar::parse(&text).into_result().map_err(|faults| {
            let reason = faults.first().map_or("", |first| first.message.as_str());
            fault(
                code::TRIGGER,
                span,
                format!("failed to parse the base image's ONBUILD trigger: {reason}"),
            )
        })?;
        Ok(file.instructions.into_iter().skip(1).collect())
    }
}

/// Tells whether an instruction counts as a step of its stage.
fn makes_step(instruction: &Instruction) -> bool {
    matches!(
        instruction.kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}
