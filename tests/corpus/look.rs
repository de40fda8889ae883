//! What a build left, as text: its tree beside the base's, its configuration, its history.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_builder::{BuildError, Built};
use kiln_store::{Entry, Image, ImageConfig, Kind, Store, View};

/// Contents up to this length are shown as they are.
const SHOWN: usize = 60;
const DIGITS: usize = 12;

/// A tree as lines by path.
pub type Tree = BTreeMap<String, String>;

/// Every entry: kind, mode, owner, size, attributes, content or target.
pub fn tree(store: &Store, image: &Image) -> Tree {
    of_view(&store.stack(image.config.diff_ids()).unwrap().view())
}

/// The same of any view.
pub fn of_view(view: &View) -> Tree {
    let mut tree = Tree::new();
    let mut links = BTreeMap::new();
    list(view, &view.root().unwrap(), &mut tree, &mut links);
    tree
}

/// What a tree has beside a base, and what it lacks of it.
pub fn beside(tree: &Tree, base: Option<&Tree>) -> String {
    let mut text = String::new();
    for (path, line) in tree {
        if base.is_none_or(|base| base.get(path) != Some(line)) {
            writeln!(text, "{line}").unwrap();
        }
    }
    let all = base.into_iter().flat_map(Tree::keys);
    for path in all.filter(|path| !tree.contains_key(*path)) {
        writeln!(text, "- {path}").unwrap();
    }
    text
}

fn list(view: &View, directory: &Entry, tree: &mut Tree, links: &mut BTreeMap<(u64, u64), String>) {
    for entry in view.read_dir(directory).unwrap() {
        let path = format!("/{}", entry.display().trim_start_matches('/'));
        tree.insert(path.clone(), describe(view, &entry, &path, links));
        if entry.meta.is_directory() {
            list(view, &entry, tree, links);
        }
    }
}

fn describe(
    view: &View,
    entry: &Entry,
    path: &str,
    links: &mut BTreeMap<(u64, u64), String>,
) -> String {
    let meta = &entry.meta;
    let kind = match meta.kind {
        Kind::File => 'f',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::CharacterDevice => 'c',
        Kind::BlockDevice => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    };
    let mode = if meta.is_symlink() { 0o777 } else { meta.mode };
    let mut line = format!("{kind} {mode:04o} {}:{} {path}", meta.uid, meta.gid);
    match meta.kind {
        Kind::File => {
            let content = view.read_file(entry, 1 << 24).unwrap();
            write!(line, " {} {}", content.len(), shown(&content)).unwrap();
            if meta.nlink > 1 {
                let first = links
                    .entry((meta.dev, meta.ino))
                    .or_insert_with(|| path.to_owned());
                if first != path {
                    write!(line, " = {first}").unwrap();
                }
            }
        }
        Kind::Symlink => {
            let target = view.read_link(entry).unwrap();
            write!(line, " -> {}", String::from_utf8_lossy(&target)).unwrap();
        }
        Kind::CharacterDevice | Kind::BlockDevice => write!(line, " {:x}", meta.rdev).unwrap(),
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    for (name, value) in view.xattrs(entry).unwrap() {
        let (name, value) = (
            String::from_utf8_lossy(&name),
            String::from_utf8_lossy(&value),
        );
        write!(line, " {name}={value}").unwrap();
    }
    line
}

fn shown(content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) if text.len() <= SHOWN => format!("{text:?}"),
        _ => {
            let digest = kiln_store::Digest::sha256(content).hex();
            format!("sha256:{}", &digest[..DIGITS])
        }
    }
}

/// Everything that is expected of a build, section by section.
pub fn sections(
    store: &Store,
    base: &(Tree, ImageConfig),
    result: &Result<Built, BuildError>,
) -> Vec<(String, String)> {
    match result {
        Ok(built) => {
            let own = tree(store, &built.image);
            // What an image without the base does not have says nothing.
            let is_based = own.get("/bin/busybox") == base.0.get("/bin/busybox");
            let text = beside(&own, is_based.then_some(&base.0));
            let config = &built.image.config;
            vec![
                ("tree".to_owned(), text),
                ("config".to_owned(), settings(config)),
                ("history".to_owned(), history(config, &base.1)),
            ]
        }
        Err(error) => vec![("error".to_owned(), format!("{}\n", failure(error)))],
    }
}

fn settings(config: &ImageConfig) -> String {
    let mut text = String::new();
    if let Some(author) = &config.author {
        writeln!(text, "author {author}").unwrap();
    }
    let value = serde_json::to_value(&config.config).unwrap();
    for (key, value) in value.as_object().unwrap() {
        writeln!(text, "{key} {value}").unwrap();
    }
    text
}

/// The entries after those of the base; `-` marks those without a layer.
fn history(config: &ImageConfig, base: &ImageConfig) -> String {
    let is_based = config.history.starts_with(&base.history);
    let skipped = if is_based { base.history.len() } else { 0 };
    let mut text = String::new();
    for entry in &config.history[skipped..] {
        let mark = if entry.empty_layer { "-" } else { "+" };
        writeln!(
            text,
            "{mark} {:?}",
            entry.created_by.as_deref().unwrap_or_default()
        )
        .unwrap();
    }
    text
}

fn failure(error: &BuildError) -> String {
    match error {
        BuildError::Step(failure) => match &failure.hint {
            Some(hint) => format!("{}\nhint: {hint}", failure.message),
            None => failure.message.clone(),
        },
        BuildError::Dockerfile(diagnostics) => {
            let lines = diagnostics
                .iter()
                .map(|diagnostic| diagnostic.message.clone());
            lines.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}
