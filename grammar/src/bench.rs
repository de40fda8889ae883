//! How long the parser and the rules take on a file far larger than any real one, for the project's benchmark table.

use std::time::{Duration, Instant};

use crate::lint::{self, Options};
use crate::parse;

/// Lines of the measured file.
pub const LINES: usize = 10_000;

/// Times for one file of [`LINES`] lines.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Text to tree with all errors.
    pub parse: Duration,
    /// Text to tree, and all rules on it.
    pub check: Duration,
}

/// One stage as real files have it: every kind of line, comments, continuations, a heredoc.
const BLOCK: &str = "\
# builder compiles the program
FROM debian:12-slim AS builder
ARG VERSION=1.2.3 PREFIX=/usr/local
ENV PATH=$PREFIX/bin:$PATH LANG=C.UTF-8 \\
    CFLAGS=\"-O2 -g\"
WORKDIR /usr/src/app
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    apt-get update && \\
    # what the build needs
    apt-get install -y --no-install-recommends \\
        build-essential ca-certificates curl \\
        pkg-config && \\
    rm -rf /var/lib/apt/lists/*
COPY --chown=1000:1000 package.json package-lock.json ./
RUN set -eux; \\
    curl -fsSL -o app.tar.gz \"https://example.com/app-${VERSION}.tar.gz\"; \\
    tar -xzf app.tar.gz --strip-components=1; \\
    ./configure --prefix=\"$PREFIX\"; make -j \"$(nproc)\"; make install
COPY <<EOF /etc/app.conf
version=$VERSION
prefix=${PREFIX:-/usr}
EOF
LABEL org.opencontainers.image.version=$VERSION org.opencontainers.image.title=\"An app\"
EXPOSE 8080/tcp 8443
USER 1000:1000
HEALTHCHECK --interval=30s CMD [\"curl\", \"-f\", \"http://localhost:8080/\"]
ENTRYPOINT [\"/usr/local/bin/app\"]
CMD [\"--serve\"]
";

/// A file of at least that many lines in which all kinds of lines are as frequent as in real ones.
pub fn large_file(lines: usize) -> String {
    let mut text = String::with_capacity(lines * 40);
    let blocks = lines.div_ceil(BLOCK.lines().count());
    for block in 0..blocks {
        text.push_str(&BLOCK.replace("AS builder", &format!("AS builder{block}")));
    }
    text
}

/// A file of that many stages, each on one of those before it and with a copy from another.
pub fn many_stages(stages: usize) -> String {
    let mut text = String::from("FROM debian:12-slim AS stage0\n");
    for stage in 1..stages {
        let (base, source) = (stage / 2, stage - 1);
        text.push_str(&format!(
            "FROM stage{base} AS stage{stage}\nCOPY --from=stage{source} /x /y\n"
        ));
    }
    text
}

/// Measures once; call it several times and take the median.
pub fn measure() -> Measured {
    let text = large_file(LINES);
    let start = Instant::now();
    let parsed = parse(&text);
    let parse_time = start.elapsed();
    let start = Instant::now();
    let findings = lint::check(&parsed.file, &Options::default());
    let check_time = start.elapsed();
    // Results are dropped after the clock has stopped.
    drop((parsed, findings));
    Measured {
        parse: parse_time,
        check: parse_time + check_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_file_is_long_and_right() {
        let text = large_file(LINES);
        assert!(text.lines().count() >= LINES);
        let parsed = parse(&text);
        assert!(parsed.diagnostics.is_empty());
        assert!(
            lint::check(&parsed.file, &Options::default())
                .is_ok_and(|findings| findings.warnings.is_empty())
        );
    }
}
