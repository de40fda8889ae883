//! What the language alone costs: a Dockerfile far longer than any real one is read and checked.

use anyhow::Result;

use super::super::contest::Contest;
use super::super::figures::{Line, Role, Target};
use super::super::ground::{Ground, kiln};
use super::{Row, minutes};

/// Lines of the Dockerfile, at least.
const LINES: usize = 10_000;

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

/// The row. The peers' parsers can't be started alone.
pub const ROW: Row = Row {
    name: "language",
    about: "10,000 lines of Dockerfile read and checked",
    budget: minutes(3),
    measure,
};

fn measure(ground: &Ground) -> Result<Vec<Line>> {
    let stages = LINES.div_ceil(STAGE.lines().count());
    let text: String = (0..stages)
        .map(|number| STAGE.replace('@', &number.to_string()))
        .collect();
    let path = ground.context("language", &text)?.join("Dockerfile");
    let file = path.to_string_lossy();
    let mut lines = Vec::new();
    for (what, words) in [
        ("read, tree printed as JSON", ["debug", "ast"]),
        ("checked by all rules", ["check", "-f"]),
    ] {
        let title = format!("{LINES} lines of Dockerfile {what}");
        let mut contest = Contest::new(title, Target::Watched);
        let words = [words[0], words[1], &*file];
        contest.add("kiln", Role::Kiln, Vec::new(), kiln(ground.kiln(), &words));
        lines.push(contest.play(ground, ground.effort().many())?);
    }
    Ok(lines)
}
