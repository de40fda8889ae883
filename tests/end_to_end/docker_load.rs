//! A docker engine takes what is built for it.

use std::time::Duration;

use xtask::dockerd::Dockerd;
use xtask::identity::Identity;
use xtask::process::run;

use crate::support::{TestEnv, lacks};

const LIMIT: Duration = Duration::from_secs(120);

const DOCKERFILE: &str = "\
FROM base
RUN echo first > /first && ln /first /second && chown web:web /first && chmod 4750 /first
RUN rm /second && mkdir /empty
ENV WHO=docker
CMD [\"sh\", \"-c\", \"stat -c '%U %a' /first; ls /second || echo gone; echo $WHO\"]
";

#[test]
fn a_docker_engine_loads_and_runs_what_was_built() {
    let root = Identity::current().unwrap();
    if !root.is_root() {
        println!("skipped: needs root");
        return;
    }
    if lacks("dockerd") {
        return;
    }
    let env = TestEnv::new(&root);
    let engine = match Dockerd::start(&env.scratch().directory("engine").unwrap(), "vfs") {
        Ok(engine) => engine,
        Err(error) => {
            println!("skipped: needs a machine on which dockerd starts ({error:#})");
            return;
        }
    };
    let docker = |arguments: &[&str]| {
        run(engine.command("docker").args(arguments), LIMIT)
            .unwrap()
            .stdout
    };
    let archives = env.scratch().directory("archives").unwrap();
    for (number, options) in [
        "",
        ",compression=gzip",
        ",oci-mediatypes=false,annotation.a=b",
    ]
    .iter()
    .enumerate()
    {
        let archive = archives.join(format!("{number}.tar"));
        let name = format!("loaded:{number}");
        let output = format!(
            "type=docker,dest={},name={name}{options}",
            archive.display()
        );
        let id = archives.join("id");
        let flags = ["--output", &output, "--iidfile", id.to_str().unwrap()];
        let finished = env.build(DOCKERFILE, &flags);
        assert!(finished.status.success(), "{}", finished.stderr);
        let loaded = docker(&["load", "--input", archive.to_str().unwrap()]);
        assert!(
            loaded.contains(&format!("Loaded image: {name}")),
            "{loaded}"
        );
        let shown = docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
        assert_eq!(shown.trim(), std::fs::read_to_string(&id).unwrap());
        let output = docker(&["run", "--rm", "--network", "none", &name]);
        assert_eq!(output, "web 4750\ngone\ndocker\n");
    }
}
