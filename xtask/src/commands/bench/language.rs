//! What the language alone costs: a Dockerfile far longer than any real one is read and checked.

use anyhow::{Context, Result};
use xtask::kiln::Kiln;
use xtask::scratch::Scratch;

use super::contest::{Contest, Invocation, LINES, Work};

/// One stage as real files have it, without anything to warn of.
const STAGE: &str = r#"# builder@ compiles the program
FROM debian:12-slim AS builder@
ARG VERSION=1.2.3 PREFIX=/usr/local
ENV PATH=$PREFIX/bin:$PATH LANG=C.UTF-8 \
    CFLAGS="-O2 -g"
WORKDIR /usr/src/app
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    apt-get update && \
    # what the build needs
    apt-get install -y --no-install-recommends build-essential ca-certificates curl && \
    rm -rf /var/lib/apt/lists/*
COPY --chown=1000:1000 package.json package-lock.json ./
RUN ./configure --prefix="$PREFIX"; make -j "$(nproc)"; make install
COPY <<EOF /etc/app.conf
version=$VERSION
EOF
LABEL org.opencontainers.image.version=$VERSION org.opencontainers.image.title="An app"
EXPOSE 8080/tcp 8443
HEALTHCHECK --interval=30s CMD ["curl", "-f", "http://localhost:8080/"]
CMD ["/usr/local/bin/app", "--serve"]
"#;

/// Adds kiln's parts; the peers' parsers can't be started alone.
pub fn add(contest: &mut Contest, scratch: &Scratch, kiln: &Kiln) -> Result<()> {
    let stages = LINES.div_ceil(STAGE.lines().count());
    let text: String = (0..stages)
        .map(|number| STAGE.replace('@', &number.to_string()))
        .collect();
    let path = scratch.directory("language")?.join("Dockerfile");
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    let (program, file) = (kiln.program().to_string_lossy(), path.to_string_lossy());
    for (work, words) in [
        (Work::Read, ["debug", "ast"]),
        (Work::Check, ["check", "-f"]),
    ] {
        let words = [&*program, words[0], words[1], &*file];
        let invocation = Invocation::new(kiln.identity(), words);
        contest.add(work, "kiln", Vec::new(), invocation);
    }
    Ok(())
}
