//! Images on their way: pushed, pulled, copied from one registry to another.
//!
//! Both registries are Debian's, on loopback, with their data on the scratch file system. An empty target is one whose data was deleted before the round.

use std::path::Path;

use anyhow::{Context, Result};
use xtask::docker_registry::DockerRegistry;
use xtask::identity::Identity;
use xtask::kiln::Kiln;
use xtask::program;
use xtask::random::Random;
use xtask::scratch::Scratch;

use super::contest::{Contest, Invocation, LAYER_MIB, LAYERS, Work};

/// The registries and the image in the first of them.
#[derive(Debug)]
pub struct Registries {
    source: DockerRegistry,
    target: DockerRegistry,
}

impl Registries {
    /// Starts them and adds what kiln and the peers do with them.
    pub fn add(
        contest: &mut Contest,
        scratch: &Scratch,
        kiln: &Kiln,
        identity: &Identity,
    ) -> Result<(Self, Vec<String>)> {
        let start = |name: &str| DockerRegistry::start(identity, &scratch.directory(name)?, None);
        let this = Self {
            source: start("source")?,
            target: start("target")?,
        };
        let image = format!("{}/layers:1", this.source.host());
        let context = scratch.directory("layers")?;
        write_context(&context)?;
        // A store of its own, so that the builds of other works do not empty it.
        let store = Kiln::at(
            kiln.program().to_owned(),
            scratch.path().join("mover"),
            identity,
        );
        store.run(&["build", "--tag", &image, &context.to_string_lossy()])?;
        store.run(&["push", &image])?;
        this.kiln(contest, scratch, &store, &image);
        let missing = this.skopeo(contest, scratch, identity, &image)?;
        Ok((this, missing))
    }

    /// Empties the target registry; it looks at its files anew for every request.
    fn empty(&self, scratch: &Scratch, identity: &Identity) -> Invocation {
        let data = scratch.path().join("target/data");
        Invocation::new(
            identity,
            ["rm".into(), "-rf".into(), data.display().to_string()],
        )
    }

    fn kiln(&self, contest: &mut Contest, scratch: &Scratch, kiln: &Kiln, image: &str) {
        let (program, root) = (
            kiln.program().display().to_string(),
            kiln.root().display().to_string(),
        );
        let identity = kiln.identity();
        let with = |words: &[&str]| {
            let all = [&*program, "--root", &*root].into_iter();
            Invocation::new(identity, all.chain(words.iter().copied()))
        };
        let empty = self.empty(scratch, identity);
        let pushed = format!("{}/pushed:1", self.target.host());
        let copied = format!("{}/copied:1", self.target.host());
        let name = with(&["tag", image, &pushed]);
        let push = with(&["push", &pushed]);
        contest.add(Work::Push, "kiln", vec![name, empty.clone()], push);
        let copy = with(&["copy", image, &copied]);
        contest.add(Work::CopyCold, "kiln", vec![empty], copy.clone());
        contest.add(Work::CopyPresent, "kiln", vec![copy.clone()], copy);
        let store = scratch.path().join("puller").display().to_string();
        let delete = Invocation::new(identity, ["rm", "-rf", &store]);
        let pull = Invocation::new(identity, [&*program, "--root", &store, "pull", image]);
        contest.add(Work::Pull, "kiln, unpacked", vec![delete], pull);
    }

    fn skopeo(
        &self,
        contest: &mut Contest,
        scratch: &Scratch,
        identity: &Identity,
        image: &str,
    ) -> Result<Vec<String>> {
        if program::find("skopeo").is_none() {
            return Ok(vec!["skopeo: not installed".to_owned()]);
        }
        let skopeo = |from: &str, to: &str| {
            let words = [
                "skopeo",
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                from,
                to,
            ];
            Invocation::new(identity, words)
        };
        let layout = format!("oci:{}:x", scratch.path().join("layout").display());
        let source = format!("docker://{image}");
        let pushed = format!("docker://{}/pushed:1", self.target.host());
        let copied = format!("docker://{}/copied:1", self.target.host());
        skopeo(&source, &layout).run()?;
        let empty = self.empty(scratch, identity);
        contest.add(
            Work::Push,
            "skopeo, ready blobs",
            vec![empty.clone()],
            skopeo(&layout, &pushed),
        );
        let copy = skopeo(&source, &copied);
        contest.add(Work::CopyCold, "skopeo", vec![empty], copy.clone());
        contest.add(Work::CopyPresent, "skopeo", vec![copy.clone()], copy);
        let pulled = scratch.path().join("skopeo-pull").display().to_string();
        let delete = Invocation::new(identity, ["rm", "-rf", &pulled]);
        let pull = skopeo(&source, &format!("oci:{pulled}:x"));
        contest.add(Work::Pull, "skopeo, blobs alone", vec![delete], pull);
        Ok(Vec::new())
    }
}

/// One file for each layer, of text-like bytes that compress to about a half.
fn write_context(context: &Path) -> Result<()> {
    let mut random = Random::new(1);
    let mut dockerfile = String::from("FROM scratch\n");
    for layer in 0..LAYERS {
        let mut bytes = Vec::with_capacity(LAYER_MIB << 20);
        while bytes.len() < LAYER_MIB << 20 {
            // Sixteen letters: four bits in eight.
            let number = random.number();
            bytes.extend((0..16).map(|place| b'a' + ((number >> (4 * place)) & 15) as u8));
        }
        let path = context.join(format!("file-{layer}"));
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        dockerfile.push_str(&format!("COPY file-{layer} /\n"));
    }
    let path = context.join("Dockerfile");
    std::fs::write(&path, dockerfile).with_context(|| format!("write {}", path.display()))
}
