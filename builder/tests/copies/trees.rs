//! What is copied where.

use crate::lab::lab;

#[test]
fn files_and_destinations() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1", "b=2@755", "d/x=3"]);
    lab.check("FROM scratch\nCOPY a /f\n", &["644 f=1"]);
    lab.check(
        "FROM scratch\nCOPY a /p/q/\n",
        &["755 p/", "755 p/q/", "644 p/q/a=1"],
    );
    lab.check(
        "FROM scratch\nCOPY a b /p/\n",
        &["755 p/", "644 p/a=1", "755 p/b=2"],
    );
    lab.check("FROM scratch\nCOPY a b /p\n", &["755 p=2"]);
    lab.check(
        "FROM scratch\nWORKDIR /w\nCOPY ../a ./x/../y\n",
        &["755 w/", "644 w/y=1"],
    );
    lab.check(
        "FROM scratch\nWORKDIR /w\nCOPY /a .\n",
        &["755 w/", "644 w/a=1"],
    );
    lab.check(
        "FROM scratch\nCOPY [\"a\", \"/with space\"]\n",
        &["644 with space=1"],
    );
    lab.check(
        "FROM scratch\nCOPY a /d/\nCOPY b /d\n",
        &["755 d/", "644 d/a=1", "755 d/b=2"],
    );
}

#[test]
fn directories_give_their_content() {
    let Some(lab) = lab() else { return };
    lab.with(&[
        "d/@700",
        "d/sub/@711",
        "d/sub/f=1",
        "d/e=2",
        "other/sub/@755",
        "other/sub/g=3",
    ]);
    lab.check(
        "FROM scratch\nCOPY d /new\n",
        &["755 new/", "644 new/e=2", "711 new/sub/", "644 new/sub/f=1"],
    );
    lab.check(
        "FROM scratch\nCOPY d/ /\n",
        &["644 e=2", "711 sub/", "644 sub/f=1"],
    );
    // The destination keeps its attributes, directories below get the source's.
    lab.check(
        "FROM scratch\nCOPY --chmod=770 other /x\nCOPY d /x/\n",
        &[
            "770 x/",
            "644 x/e=2",
            "711 x/sub/",
            "644 x/sub/f=1",
            "770 x/sub/g=3",
        ],
    );
    assert_eq!(
        lab.failure("FROM scratch\nCOPY d/e /x\nCOPY d /x\n"),
        "cannot copy to non-directory: /x"
    );
    assert_eq!(
        lab.failure("FROM scratch\nCOPY d /x\nCOPY d/e /y/sub\nCOPY d/sub/f /x/sub\nCOPY d /y\n"),
        "cannot copy to non-directory: /y/sub",
    );
    lab.with(&["file/sub=x"]);
    assert_eq!(
        lab.failure("FROM scratch\nCOPY d /x\nCOPY file /x\n"),
        "cannot replace to directory /x/sub with file",
    );
}

#[test]
fn links() {
    let Some(lab) = lab() else { return };
    lab.with(&[
        "real/f=1",
        "link->real",
        "file->real/f",
        "out->/../../real/f",
        "real/inner->f",
    ]);
    lab.check(
        "FROM scratch\nCOPY link /x\n",
        &["755 x/", "644 x/f=1", "777 x/inner->f"],
    );
    lab.check(
        "FROM scratch\nCOPY file out /x/\n",
        &["755 x/", "644 x/file=1", "644 x/out=1"],
    );
    lab.with(&["tree/usr/lib/", "tree/lib->usr/lib", "more/lib/y=2"]);
    // Links at the destination are followed inside the image.
    lab.check(
        "FROM scratch\nCOPY tree /\nCOPY real/f /lib/\n",
        &[
            "777 lib->usr/lib",
            "755 usr/",
            "755 usr/lib/",
            "644 usr/lib/f=1",
        ],
    );
    assert_eq!(
        lab.failure("FROM scratch\nCOPY tree /\nCOPY more /\n"),
        "cannot copy to non-directory: /lib"
    );
}

#[test]
fn wildcards() {
    let Some(lab) = lab() else { return };
    lab.with(&["a.c=1", "b.c=2", "b.h=3", "d1/x=4", "d2/x=5", "d2/sub/x=6"]);
    lab.check(
        "FROM scratch\nCOPY *.c /s/\n",
        &["755 s/", "644 s/a.c=1", "644 s/b.c=2"],
    );
    lab.check(
        "FROM scratch\nCOPY ?.[!c] b.[^c] /s/\n",
        &["755 s/", "644 s/a.c=1", "644 s/b.c=2", "644 s/b.h=3"],
    );
    lab.check("FROM scratch\nCOPY d*/x /s/\n", &["755 s/", "644 s/x=5"]);
    lab.check(
        "FROM scratch\nCOPY d? /s\n",
        &["755 s/", "755 s/sub/", "644 s/sub/x=6", "644 s/x=5"],
    );
    lab.check("FROM scratch\nCOPY *.none /s/\n", &[]);
}

#[test]
fn what_is_not_there() {
    let Some(lab) = lab() else { return };
    lab.with(&["a=1", "kept/x=1", "secret/key=2"]);
    assert_eq!(
        lab.failure("FROM scratch\nCOPY none /\n"),
        "failed to calculate checksum of ref context: \"/none\": not found"
    );
    let mut request = lab.request("FROM scratch\nCOPY . /\n");
    request.ignore = Some("secret\n*.md\n".to_owned());
    let built = lab.try_build(&request).expect("it builds");
    assert_eq!(lab.tree(&built), "644 a=1\n755 kept/\n644 kept/x=1\n");
    request.dockerfile = "FROM scratch\nCOPY secret/key /\n".to_owned();
    let error = lab.try_build(&request).expect_err("it is ignored");
    let kiln_builder::BuildError::Step(failure) = error else {
        panic!("{error:?}")
    };
    assert_eq!(failure.lines, Some((2, 2)));
    assert!(
        failure
            .hint
            .is_some_and(|hint| hint.contains(".dockerignore"))
    );
}

#[test]
fn ignore_files_with_exceptions() {
    let Some(lab) = lab() else { return };
    lab.with(&["a/b=1", "a/c=2", "a/d/e=3", "z=4"]);
    let mut request = lab.request("FROM scratch\nCOPY . /\n");
    request.ignore = Some("*\n!a/b\n".to_owned());
    let built = lab.try_build(&request).expect("it builds");
    assert_eq!(lab.tree(&built), "755 a/\n644 a/b=1\n");
}

#[test]
fn exclude() {
    let Some(lab) = lab() else { return };
    lab.with(&["d/a.md=1", "d/b=2", "d/s/c.md=3", "x.md=4", "y=5"]);
    lab.check(
        "FROM scratch\nCOPY --exclude=*.md d /\n",
        &["644 b=2", "755 s/", "644 s/c.md=3"],
    );
    lab.check(
        "FROM scratch\nCOPY --exclude=**/*.md d /\n",
        &["644 b=2", "755 s/"],
    );
    lab.check("FROM scratch\nCOPY --exclude=*.md x.md y /\n", &["644 y=5"]);
    let mut request = lab.request("FROM scratch\nCOPY --exclude=*.md x.md y /\n");
    request.strict = true;
    let built = lab.try_build(&request).expect("it builds");
    assert_eq!(lab.tree(&built), "644 x.md=4\n644 y=5\n");
}

#[test]
fn parents() {
    let Some(lab) = lab() else { return };
    lab.with(&[
        "a/@700",
        "a/b/@710",
        "a/b/f=1",
        "a/b/g/h=2",
        "a/c/f=3",
        "top=4",
    ]);
    lab.check(
        "FROM scratch\nCOPY --parents a/b/f top /x/\n",
        &[
            "755 x/",
            "700 x/a/",
            "710 x/a/b/",
            "644 x/a/b/f=1",
            "644 x/top=4",
        ],
    );
    lab.check(
        "FROM scratch\nCOPY --parents a/./b/f /x/\n",
        &["755 x/", "710 x/b/", "644 x/b/f=1"],
    );
    lab.check(
        "FROM scratch\nCOPY --parents **/f /\n",
        &[
            "700 a/",
            "710 a/b/",
            "644 a/b/f=1",
            "755 a/c/",
            "644 a/c/f=3",
        ],
    );
    lab.check(
        "FROM scratch\nCOPY --parents a/b/g /\n",
        &["700 a/", "710 a/b/", "755 a/b/g/", "644 a/b/g/h=2"],
    );
    lab.check("FROM scratch\nCOPY --parents none* /\n", &[]);
    assert!(
        lab.failure("FROM scratch\nCOPY --parents none /\n")
            .ends_with("\"/none\": not found")
    );
}

#[test]
fn owners_and_modes() {
    let Some(lab) = lab() else { return };
    lab.with(&[
        "f=1@4755",
        "d/x=2@600",
        "etc/passwd=web:x:33:34::/:\n",
        "etc/group=log:x:40:\n",
    ]);
    lab.check("FROM scratch\nCOPY f /\n", &["4755 f=1"]);
    lab.check(
        "FROM scratch\nCOPY --chown=5 f /p/\n",
        &["755 5:5 p/", "4755 5:5 p/f=1"],
    );
    lab.check(
        "FROM scratch\nCOPY --chown=5:6 d /p\n",
        &["755 5:6 p/", "600 5:6 p/x=2"],
    );
    lab.check(
        "FROM scratch\nCOPY --chmod=640 d /p\n",
        &["640 p/", "640 p/x=2"],
    );
    lab.check(
        "FROM scratch\nCOPY --chmod=u=rwX,go=rX d /p\n",
        &["755 p/", "644 p/x=2"],
    );
    let named = "FROM scratch\nCOPY etc /etc\nCOPY --chown=web d /a\nCOPY --chown=web:log d/x /b\n";
    let tree = lab.tree(&lab.build(named));
    assert!(
        tree.starts_with("755 33:34 a/\n600 33:34 a/x=2\n600 33:40 b=2\n"),
        "{tree}"
    );
    assert!(
        lab.failure("FROM scratch\nCOPY --chown=nobody f /\n")
            .contains("nobody")
    );
    lab.check(
        "FROM scratch AS a\nCOPY --chown=7 f /\nFROM scratch\nCOPY --from=a /f /\n",
        &["4755 7:7 f=1"],
    );
}

#[test]
fn hard_links_stay_together() {
    let Some(lab) = lab() else { return };
    lab.with(&["d/a=1"]);
    std::fs::hard_link(lab.context.join("d/a"), lab.context.join("d/b")).expect("a link");
    let built = lab.build("FROM scratch\nCOPY d /\n");
    let view = lab
        .store
        .stack(built.image.config.diff_ids())
        .expect("stored")
        .view();
    let inode = |path: &[u8]| {
        view.lookup(path, kiln_store::Follow::All)
            .expect("readable")
            .expect("there")
            .meta
            .ino
    };
    assert_eq!(inode(b"a"), inode(b"b"));
}

#[test]
fn inline_files() {
    let Some(lab) = lab() else { return };
    lab.check(
        "FROM scratch\nARG X=v\nCOPY <<EOF /etc/conf\n\\n \\$x $X \"q\"\nEOF\n",
        &["755 etc/", "644 etc/conf=n $x v \"q\""],
    );
    lab.check(
        "FROM scratch\nCOPY --chmod=755 <<run.sh <<\"b\" /x/\na\nrun.sh\n$X\nb\n",
        &["755 x/", "755 x/b=$X", "755 x/run.sh=a"],
    );
}

#[test]
fn working_directories() {
    let Some(lab) = lab() else { return };
    lab.check(
        "FROM scratch\nUSER 3:4\nWORKDIR /a/b\n",
        &["755 a/", "755 3:4 a/b/"],
    );
    // A number alone is the group too, unlike for commands.
    lab.check(
        "FROM scratch\nUSER 1000\nWORKDIR /w\n",
        &["755 1000:1000 w/"],
    );
    lab.check("FROM scratch\nWORKDIR /a\nWORKDIR /a\n", &["755 a/"]);
}
