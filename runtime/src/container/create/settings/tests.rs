use super::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn image() -> ImageSettings {
    ImageSettings {
        entrypoint: Some(strings(&["/entry"])),
        cmd: Some(strings(&["serve"])),
        ..ImageSettings::default()
    }
}

#[test]
fn entrypoint_and_command() {
    let check = |entrypoint: Option<&str>, command: &[&str], expected: (&[&str], &[&str])| {
        let options = CreateOptions {
            entrypoint: entrypoint.map(str::to_owned),
            command: strings(command),
            ..CreateOptions::default()
        };
        assert_eq!(
            command_line(&image(), &options),
            (strings(expected.0), strings(expected.1)),
            "{entrypoint:?} {command:?}"
        );
    };
    check(None, &[], (&["/entry"], &["serve"]));
    check(None, &["test"], (&["/entry"], &["test"]));
    check(Some("/other"), &[], (&["/other"], &[]));
    check(Some("/other"), &["test"], (&["/other"], &["test"]));
    check(Some(""), &["test"], (&[], &["test"]));
    check(Some(""), &[], (&[], &[]));
}

#[test]
fn capabilities_are_added_and_dropped() {
    let check = |add: &[&str], drop: &[&str], privileged: bool| {
        capabilities(&CreateOptions {
            cap_add: strings(add),
            cap_drop: strings(drop),
            privileged,
            ..CreateOptions::default()
        })
        .unwrap()
    };
    let named = |name| Capabilities::named(name).unwrap();
    assert_eq!(check(&[], &[], false), Capabilities::DOCKER);
    assert_eq!(
        check(&["NET_ADMIN"], &["CAP_CHOWN"], false),
        Capabilities::DOCKER
            .without(named("CHOWN"))
            .with(named("NET_ADMIN"))
    );
    assert_eq!(check(&["chown"], &["ALL"], false), named("CHOWN"));
    assert_eq!(
        check(&["ALL"], &["SYS_ADMIN"], false),
        Capabilities::ALL.without(named("SYS_ADMIN"))
    );
    assert_eq!(check(&[], &[], true), Capabilities::ALL);
    assert!(
        capabilities(&CreateOptions {
            cap_add: strings(&["NOPE"]),
            ..CreateOptions::default()
        })
        .is_err()
    );
}

#[test]
fn all_exposed_ports_can_be_published() {
    let mut settings = image();
    settings.exposed_ports.insert("80/tcp");
    settings.exposed_ports.insert("53/udp");
    let options = CreateOptions {
        publish: strings(&["8080:80"]),
        publish_all: true,
        ..CreateOptions::default()
    };
    let (published, exposed) = ports(&settings, &options).unwrap();
    assert_eq!(
        exposed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["53/udp", "80/tcp"]
    );
    assert_eq!(
        published
            .iter()
            .map(|mapping| (mapping.host_port, mapping.container.number))
            .collect::<Vec<_>>(),
        [(8080, 80), (0, 53)]
    );
}

#[test]
fn volumes_of_the_image_yield_to_the_command_line() {
    let mut settings = image();
    settings.volumes.insert("/data");
    settings.volumes.insert("/cache/");
    let options = CreateOptions {
        volumes: strings(&["db:/data"]),
        ..CreateOptions::default()
    };
    let targets: Vec<_> = mounts(&settings, &options)
        .unwrap()
        .into_iter()
        .map(|mount| mount.target)
        .collect();
    assert_eq!(targets, ["/data", "/cache"]);
    let twice = CreateOptions {
        volumes: strings(&["a1:/x"]),
        tmpfs: strings(&["/x"]),
        ..CreateOptions::default()
    };
    assert_eq!(
        mounts(&settings, &twice).unwrap_err().to_string(),
        "Duplicate mount point: /x"
    );
}

#[test]
fn nothing_to_run_is_refused() {
    let options = CreateOptions {
        entrypoint: Some(String::new()),
        ..CreateOptions::default()
    };
    let user = User {
        ids: crate::Ids::default(),
        home: "/root".to_owned(),
    };
    assert_eq!(
        process(&image(), &options, &user, &Security::default())
            .unwrap_err()
            .to_string(),
        "no command specified"
    );
    let options = CreateOptions {
        workdir: Some("rel".to_owned()),
        ..CreateOptions::default()
    };
    assert!(
        process(&image(), &options, &user, &Security::default())
            .unwrap_err()
            .to_string()
            .contains("absolute path")
    );
}
