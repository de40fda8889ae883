//! Stacks of many layers, and of the same one several times.

use super::*;

#[test]
fn five_hundred_layers() {
    let archives: Vec<Tar> = (0..500)
        .map(|number| {
            tar(|tar| {
                tar.directory("d/", 0o700 | (number % 8))
                    .file("d/same", &number.to_string());
                tar.file(&format!("d/only-{number}"), "x");
                if number > 0 {
                    tar.whiteout(&format!("d/.wh.only-{}", number - 1));
                }
            })
        })
        .collect();
    let (_scratch, store, stack) = check(
        &archives,
        &[("d/only-499", "file", 0o644), ("d", "directory", 0o703)],
        &["d/only-498"],
    );
    assert!(stack.lowers().len() < 130, "{}", stack.lowers().len());
    // One more uses the same merged directory.
    let last = ingest(
        &store,
        &tar(|tar| {
            tar.file("last", "x");
        })
        .end(),
    )
    .unwrap();
    let longer: Vec<DiffId> = stack
        .layers()
        .iter()
        .copied()
        .chain([last.diff_id])
        .collect();
    let longer = store.stack(&longer).unwrap();
    assert_eq!(longer.lowers()[0], stack.lowers()[0]);
}

/// Steps that do the same, or nothing, give the same layer again: overlay takes no directory twice.
#[test]
fn the_same_layer_twice() {
    let base = || {
        tar(|tar| {
            tar.directory("d", 0o755).file("d/kept", "a");
        })
    };
    let removes = tar(|tar| {
        tar.whiteout("d/.wh.kept");
    });
    let empty = || tar(|_| {});
    let (_scratch, _store, stack) = check(
        &[base(), empty(), removes, empty(), base(), empty()],
        &[("d", "directory", 0o755), ("d/kept", "file", 0o644)],
        &[],
    );
    assert_eq!(stack.layers().len(), 6);
    assert_eq!(stack.lowers().len(), 3);
}
