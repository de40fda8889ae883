//! The index of the rules' pages.

use super::RULES;

/// The text of `docs/rules/README.md`.
pub fn index_page() -> String {
    let mut page = String::from(
        "# Rules of `kiln check`\n\n\
         <!-- Generated from the table of rules; `KILN_UPDATE=1 cargo test -p kiln-grammar --test rules` writes it. -->\n\n\
         Names and meaning are those of `docker build --check`. A rule is switched off for a file by a line `# check=skip=Name` at its top, for\n\
         one instruction by the same comment directly above it, for one build by `--build-arg BUILDKIT_DOCKERFILE_CHECK=skip=Name`. With\n\
         `error=true` warnings fail the build.\n\n\
         `kiln check` and `kiln build --check` exit with 0 if there is nothing to say, with 1 if there is any error or warning, and with 2 if\n\
         they are called the wrong way. Findings go to standard output, their number to standard error. A build that succeeds exits with 0\n\
         and repeats the warnings at its end, on standard error.\n\n\
         | rule | what it is about |\n\
         |---|---|\n",
    );
    for rule in RULES {
        let experimental = if rule.experimental {
            " (experimental)"
        } else {
            ""
        };
        page.push_str(&format!(
            "| [{0}]({0}.md){experimental} | {1} |\n",
            rule.name, rule.description
        ));
    }
    page
}
