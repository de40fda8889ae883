//! `kiln history`.

use serde_json::json;

use super::{SHORT, require};
use crate::cli::HistoryArgs;
use crate::commands::{ago, boolean, print_rows};
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::settings::Settings;

/// Shows how an image was made, the last step first.
pub fn history(args: &HistoryArgs, settings: &Settings) -> Result<u8, CommandError> {
    /// Columns of a command that fit beside the others.
    const WIDTH: usize = 45;
    let human = boolean(&args.human).ok_or_else(|| {
        CommandError::usage(format!("invalid value `{}` for --human", args.human))
    })?;
    let host = Host::local(settings)?;
    let image = host.store.any_image(&require(&host.store, &args.image)?)?;
    let mut sizes = Vec::new();
    for layer in image.config.diff_ids() {
        sizes.push(host.store.layer(layer)?.map_or(0, |record| record.tar_size));
    }
    let mut sizes = sizes.into_iter();
    let mut rows = Vec::new();
    for entry in &image.config.history {
        let size = if entry.empty_layer {
            0
        } else {
            sizes.next().unwrap_or_default()
        };
        let created = entry.created.clone().unwrap_or_default();
        let mut by = entry
            .created_by
            .clone()
            .unwrap_or_default()
            .replace('\n', " ");
        if !args.no_trunc && by.chars().count() > WIDTH {
            by = by.chars().take(WIDTH - 1).chain(['…']).collect();
        }
        rows.push(json!({
            "ID": "<missing>",
            "CreatedAt": created,
            "CreatedSince": if human { ago(&created) } else { created.clone() },
            "CreatedBy": by,
            "Size": if human { format::size(size) } else { size.to_string() },
            "Comment": entry.comment.clone().unwrap_or_default(),
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        let id = image.id.0.hex();
        first["ID"] = json!(if args.no_trunc {
            image.id.to_string()
        } else {
            id[..SHORT].to_owned()
        });
    }
    if args.quiet {
        return print_rows(Some("{{.ID}}"), &[], &rows);
    }
    let columns = [
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    print_rows(args.format.as_deref(), &columns, &rows)
}
