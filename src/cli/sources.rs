//! Where the files of a build come from, and what its steps get: flags of `kiln build`.

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// Further context: `NAME=` and a folder, `docker-image://IMAGE`, `oci-layout://FOLDER:TAG`, a repository, a URL or `target:STAGE`
    #[arg(long, value_name = "NAME=CONTEXT")]
    pub build_context: Vec<String>,
    /// Agent for `RUN --mount=type=ssh` and repositories behind ssh: `default`, `ID=SOCKET`, or `ID=KEY[,KEY...]` with files of private keys
    #[arg(long, value_name = "default|ID[=SOCKET|KEY[,KEY]]")]
    pub ssh: Vec<String>,
    /// Line for /etc/hosts of RUN steps
    #[arg(long, value_name = "HOST:ADDRESS")]
    pub add_host: Vec<String>,
    /// Size of /dev/shm in RUN steps, such as `128m`
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Limit of RUN steps, such as `nofile=1024:2048`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
}
