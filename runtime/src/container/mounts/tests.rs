use super::*;

fn bind(path: &str, create: bool) -> SourceRequest {
    SourceRequest::Bind {
        path: path.into(),
        create,
    }
}

fn volume(name: Option<&str>, copy: bool) -> SourceRequest {
    SourceRequest::volume(name.map(str::to_owned), copy)
}

fn check(
    found: Result<MountRequest>,
    target: &str,
    source: SourceRequest,
    read_only: bool,
    no_exec: bool,
) {
    let expected = MountRequest {
        read_only,
        no_exec,
        ..MountRequest::new(target, source).unwrap()
    };
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn volumes_and_binds() {
    check(
        MountRequest::parse_volume("/data"),
        "/data",
        volume(None, true),
        false,
        false,
    );
    check(
        MountRequest::parse_volume("db:/var//lib/./db/"),
        "/var/lib/db",
        volume(Some("db"), true),
        false,
        false,
    );
    check(
        MountRequest::parse_volume("db:/x:ro,nocopy"),
        "/x",
        volume(Some("db"), false),
        true,
        false,
    );
    check(
        MountRequest::parse_volume("/src:/app:ro"),
        "/app",
        bind("/src", true),
        true,
        false,
    );
}

#[test]
fn the_long_form() {
    check(
        MountRequest::parse_mount("type=bind,source=/a,target=/b,readonly"),
        "/b",
        bind("/a", false),
        true,
        false,
    );
    check(
        MountRequest::parse_mount("src=db,dst=/b,volume-nocopy"),
        "/b",
        volume(Some("db"), false),
        false,
        false,
    );
    check(
        MountRequest::parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"),
        "/t",
        SourceRequest::Tmpfs {
            size: Some(1 << 20),
            mode: 0o700,
            owner: (0, 0),
        },
        false,
        true,
    );
}

#[test]
fn memory() {
    check(
        MountRequest::parse_tmpfs("/run"),
        "/run",
        SourceRequest::Tmpfs {
            size: None,
            mode: 0o1777,
            owner: (0, 0),
        },
        false,
        true,
    );
    check(
        MountRequest::parse_tmpfs("/run:rw,exec,size=64k,mode=755,uid=5,gid=6"),
        "/run",
        SourceRequest::Tmpfs {
            size: Some(65536),
            mode: 0o755,
            owner: (5, 6),
        },
        false,
        false,
    );
}

#[test]
fn what_is_refused() {
    for text in [
        "data",
        "a:b",
        "/a:/b:/c:/d",
        "a b:/x",
        "./rel:/x",
        "a:/b:shared",
        "/a:/b:sometimes",
        "/a:/",
        "/a:/..",
    ] {
        assert!(MountRequest::parse_volume(text).is_err(), "{text}");
    }
    for text in [
        "type=bind,target=/x",
        "type=bind,source=rel,target=/x",
        "source=a",
        "type=npipe,target=/x",
        "target=/x,what=1",
        "type=bind,source=/a,target=/x,volume-nocopy",
        "type=volume,target=/x,volume-driver=nfs",
        "type=volume,target=/x,volume-subpath=../up",
        "type=volume,target=/x,volume-subpath=/abs",
        "type=tmpfs,source=/a,target=/x",
        "type=bind,source=/a,target=/x,bind-propagation=often",
        "target=/x,readonly=perhaps",
    ] {
        assert!(MountRequest::parse_mount(text).is_err(), "{text}");
    }
    assert!(MountRequest::parse_tmpfs("/x:size=lots").is_err());
}

#[test]
fn options_of_binds_and_volumes() {
    let mount = MountRequest::parse_volume("/a:/b:rslave,Z").unwrap();
    assert_eq!(
        (mount.propagation, mount.relabel, mount.recursive),
        (Propagation::Slave, true, true)
    );
    let text = "type=bind,src=/a,dst=/b,bind-propagation=rshared,bind-nonrecursive";
    let mount = MountRequest::parse_mount(text).unwrap();
    assert_eq!(
        (mount.propagation, mount.recursive),
        (Propagation::Shared, false)
    );
    let text = "src=db,dst=/b,volume-subpath=a/b,volume-label=k=v,volume-driver=local";
    let SourceRequest::Volume {
        subpath, labels, ..
    } = MountRequest::parse_mount(text).unwrap().source
    else {
        panic!("a volume is expected");
    };
    assert_eq!(subpath.as_deref(), Some("a/b"));
    assert_eq!(labels["k"], "v");
}

#[test]
fn volumes_of_others() {
    assert_eq!(parse_volumes_from("db").unwrap(), ("db", None));
    assert_eq!(parse_volumes_from("db:ro").unwrap(), ("db", Some(true)));
    assert!(parse_volumes_from("db:rx").is_err());
}
