//! Entries that lead out, headers that lie, attributes that were made up.

use super::*;

#[test]
fn entries_that_lead_out() {
    let trap = Trap::new();
    let canary = trap.canary();
    let outside = Path::new(&canary).parent().unwrap().display().to_string();
    let up = format!("{}{}", "../".repeat(30), &canary[1..]);
    for (what, entry, tar) in [
        (
            "upwards",
            "../canary",
            tar(|t| {
                t.file("../canary", "dead");
            }),
        ),
        (
            "upwards inside",
            "a/../../canary",
            tar(|t| {
                t.file("a/../../canary", "dead");
            }),
        ),
        (
            "absolute link",
            "x/canary",
            tar(|t| {
                t.symlink("x", &outside).file("x/canary", "dead");
            }),
        ),
        (
            "link upwards",
            "x/canary",
            tar(|t| {
                t.symlink("x", "../../../../outside")
                    .file("x/canary", "dead");
            }),
        ),
        (
            "two links",
            "b/canary",
            tar(|t| {
                t.symlink("a", "..")
                    .symlink("b", "a/../../outside")
                    .file("b/canary", "dead");
            }),
        ),
        (
            "link to itself",
            "x/y",
            tar(|t| {
                t.symlink("x", "x").file("x/y", "dead");
            }),
        ),
        (
            "directory over it",
            "x/canary/",
            tar(|t| {
                t.symlink("x", &outside).directory("x/canary/", 0o700);
            }),
        ),
        (
            "mode through link",
            "x/",
            tar(|t| {
                t.symlink("x", &outside)
                    .directory("x/", 0o000)
                    .file("x/../y", "");
            }),
        ),
        (
            "hard link up",
            "h",
            tar(|t| {
                t.hard_link("h", "../../outside/canary");
            }),
        ),
        (
            "hard link to directory",
            "h",
            tar(|t| {
                t.directory("d/", 0o755).hard_link("h", "d");
            }),
        ),
        (
            "whiteout of dot",
            ".wh..",
            tar(|t| {
                t.whiteout(".wh..");
            }),
        ),
        (
            "whiteout of dots",
            "d/.wh...",
            tar(|t| {
                t.whiteout("d/.wh...");
            }),
        ),
        (
            "empty whiteout",
            ".wh.",
            tar(|t| {
                t.whiteout(".wh.");
            }),
        ),
        (
            "below a whiteout",
            ".wh.x/y",
            tar(|t| {
                t.file(".wh.x/y", "");
            }),
        ),
        (
            "whiteout through link",
            "x/.wh.canary",
            tar(|t| {
                t.symlink("x", &outside).whiteout("x/.wh.canary");
            }),
        ),
        (
            "file as directory",
            "f/x",
            tar(|t| {
                t.file("f", "").file("f/x", "");
            }),
        ),
        (
            "root as file",
            "./",
            tar(|t| {
                t.file("./", "x");
            }),
        ),
        (
            "device 0:0",
            "dev",
            tar(|t| {
                t.raw(b"dev", b'3', b"", |_| {});
            }),
        ),
        (
            "unknown type",
            "odd",
            tar(|t| {
                t.raw(b"odd", b'Z', b"", |_| {});
            }),
        ),
    ] {
        let message = trap.refuse(&tar).to_string();
        if what != "mode through link" {
            assert!(message.contains(&format!("`{entry}`")), "{what}: {message}");
        }
    }
    // A whole path upwards, and absolute names and link targets, which mean the layer's own root.
    let message = trap
        .refuse(&tar(|t| {
            t.pax(&[("path", up.as_bytes())]).file("x", "dead");
        }))
        .to_string();
    assert!(message.contains(&canary[1..]), "{message}");
    let harmless = tar(|t| {
        t.pax(&[("path", canary.as_bytes())])
            .file("x", "inside")
            .pax(&[("linkpath", canary.as_bytes())])
            .hard_link("h", "x");
    });
    let record = ingest(&trap.store, &harmless.end()).unwrap();
    let seen = snapshot_view(&trap.store.stack(&[record.diff_id]).unwrap().view());
    assert!(seen.contains_key(&canary[1..]) && seen.contains_key("h"));
    let outside = snapshot_directory(&trap.scratch.path().join("outside"));
    assert_same(&trap.outside, &outside, "canaries");
}

#[test]
fn headers_that_contradict_each_other() {
    let trap = Trap::new();
    let inner = tar(|t| {
        t.file("smuggled", "x");
    })
    .end();
    for (what, tar) in [
        (
            "PAX larger",
            tar(|t| {
                t.pax(&[("size", b"1024")])
                    .raw(b"a", b'0', &inner[..512], |_| {});
            }),
        ),
        (
            "PAX smaller",
            tar(|t| {
                t.pax(&[("size", b"0")]).raw(b"a", b'0', &inner, |_| {});
            }),
        ),
        (
            "PAX without ustar",
            tar(|t| {
                t.pax(&[("size", b"512")]).raw(b"a", b'0', b"", |_| {});
            }),
        ),
        (
            "bad PAX",
            tar(|t| {
                t.raw(b"p", b'x', b"12 path=abc", |_| {}).file("a", "");
            }),
        ),
        (
            "PAX zero byte",
            tar(|t| {
                t.pax(&[("path", b"a\0b")]).file("a", "");
            }),
        ),
        (
            "PAX number",
            tar(|t| {
                t.pax(&[("uid", b"-1")]).file("a", "");
            }),
        ),
        (
            "PAX time",
            tar(|t| {
                t.pax(&[("mtime", b"now")]).file("a", "");
            }),
        ),
        (
            "global path",
            tar(|t| {
                t.raw(b"g", b'g', b"10 path=x\n", |_| {}).file("a", "");
            }),
        ),
        (
            "sparse map",
            tar(|t| {
                t.pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")])
                    .file("a", "1\n8\n9\n");
            }),
        ),
        (
            "sparse map, small",
            tar(|t| {
                t.pax(&[("GNU.sparse.map", b"0,4,2,4"), ("GNU.sparse.size", b"9")])
                    .file("a", "12345678");
            }),
        ),
        (
            "ends in PAX",
            tar(|t| {
                t.pax(&[("path", b"a")]);
            }),
        ),
    ] {
        let error = trap.refuse(&tar);
        assert!(
            matches!(
                error,
                LayerError::Refused { .. } | LayerError::Damaged { .. }
            ),
            "{what}: {error}"
        );
    }
    let mut broken = tar(|t| {
        t.file("first", "x").file("second", "y");
    });
    broken.0[1024] ^= 1;
    let message = trap.refuse(&broken).to_string();
    assert!(
        message.contains("`first`") && message.contains("checksum"),
        "{message}"
    );
}

#[test]
fn forged_attributes() {
    let trap = Trap::new();
    for name in [
        "trusted.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.metacopy",
        "trusted.overlay.overlay.opaque",
    ] {
        let message = trap
            .refuse(&tar(|t| {
                t.pax(&[(&format!("SCHILY.xattr.{name}"), b"y")])
                    .directory("d/", 0o755);
            }))
            .to_string();
        assert!(
            message.contains("`d/`") && message.contains(name),
            "{message}"
        );
    }
}
