//! What a step sees of the machine and of itself.

use std::fs;
use std::os::unix::fs::symlink;

use kiln_runtime::{Capabilities, Exit, Network, Resource, Rlimit, Seccomp, Security};

use crate::steps::{output_of, run, shell};
use crate::{Context, Test};

pub(crate) const TESTS: &[Test] = &[
    ("only_own_mounts_are_seen", mounts),
    ("namespaces_are_its_own", namespaces),
    (
        "capabilities_are_dockers_and_nothing_is_inheritable",
        capabilities,
    ),
    ("descriptors_are_closed", descriptors),
    ("signals_and_mask_are_default", signals),
    ("masked_and_read_only_paths", masks),
    ("devices_that_a_step_makes_cannot_be_opened", devices),
    ("own_network_has_loopback_only", no_network),
    ("limits_are_set_or_clamped", limits),
    ("files_of_the_host_are_private", private_files),
    ("links_of_the_image_lead_nowhere", hostile_links),
    ("working_directory_stays_inside", working_directory),
    ("the_binary_cannot_be_written", own_binary),
    ("insecure_is_less_confined", insecure),
    ("read_only_root", read_only_root),
];

fn mounts(context: &Context) {
    let script = "while read -r line; do set -- $line; echo $5; done < /proc/self/mountinfo";
    let output = output_of(context, &shell(context, script));
    for mount in output.lines() {
        let ours = ["/proc", "/sys", "/dev", "/etc/hostname"]
            .iter()
            .any(|own| mount.starts_with(own));
        assert!(ours || mount == "/", "{mount} in\n{output}");
    }
    assert!(!output.contains("/store"), "{output}");
    // Nothing of the cgroups of others is seen.
    let output = output_of(context, &shell(context, "echo /sys/fs/cgroup/*/"));
    assert_eq!(output, "/sys/fs/cgroup/*/\n");
}

fn namespaces(context: &Context) {
    let script =
        "for ns in mnt pid ipc uts cgroup net user; do readlink /proc/self/ns/$ns; done; echo $$";
    let inside = output_of(context, &shell(context, script));
    let inside: Vec<&str> = inside.lines().collect();
    for (index, name) in ["mnt", "pid", "ipc", "uts", "cgroup", "net", "user"]
        .iter()
        .enumerate()
    {
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
        let same = outside.to_string_lossy() == inside[index];
        assert_eq!(
            same,
            ["net", "user"].contains(name),
            "{name}: {}",
            inside[index]
        );
    }
    assert_eq!(inside[7], "1");
}

fn capabilities(context: &Context) {
    let mut spec = shell(
        context,
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    );
    let expected = |permitted: &str, nnp: u8| {
        format!(
            "CapInh:\t0000000000000000\nCapPrm:\t{permitted}\nCapEff:\t{permitted}\nCapBnd:\t00000000a80425fb\n\
             CapAmb:\t0000000000000000\nNoNewPrivs:\t{nnp}\nSeccomp:\t2\n"
        )
    };
    assert_eq!(output_of(context, &spec), expected("00000000a80425fb", 0));
    spec = shell(
        context,
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    );
    spec.process.user.uid = 33;
    spec.process.no_new_privileges = true;
    assert_eq!(output_of(context, &spec), expected("0000000000000000", 1));
}

fn descriptors(context: &Context) {
    // The shell itself is used, because `ls` would open one more.
    let output = output_of(context, &shell(context, "echo /proc/self/fd/*"));
    assert_eq!(
        output,
        "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n"
    );
}

fn signals(context: &Context) {
    let output = output_of(
        context,
        &shell(context, "grep -E '^Sig(Blk|Ign)' /proc/self/status; umask"),
    );
    assert_eq!(
        output,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022\n"
    );
}

fn masks(context: &Context) {
    let script = "cat /proc/keys /proc/timer_list; for path in /sys/firmware/* /proc/acpi/*; do [ -e $path ] && echo $path; done; \
                  for path in /proc/sys/kernel/hostname /proc/irq/x /proc/bus/x /sys/x; do \
                  (echo x > $path) 2>/dev/null && echo $path is writable; done; true";
    assert_eq!(output_of(context, &shell(context, script)), "");
}

fn devices(context: &Context) {
    let script = "echo x > /dev/null && head -c 3 /dev/zero > /tmp/zeros && stat -c %s /tmp/zeros; \
                  for path in /disk /dev/disk /dev/shm/disk /tmp/null; do \
                  mknod $path c 1 3 2>/dev/null; (echo x > $path) 2>/dev/null && [ -c $path ] && echo $path opens; done; true";
    assert_eq!(output_of(context, &shell(context, script)), "3\n");
}

fn no_network(context: &Context) {
    let mut spec = shell(
        context,
        "cat /proc/net/dev; cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    );
    spec.network = Network::None;
    let output = output_of(context, &spec);
    assert_eq!(
        output.lines().filter(|line| line.contains(':')).count(),
        1,
        "{output}"
    );
    assert!(
        output.contains("lo:") && output.ends_with("\n0\n"),
        "{output}"
    );
}

fn limits(context: &Context) {
    let mut spec = shell(context, "ulimit -Sn; ulimit -Hc");
    spec.process.rlimits = vec![
        Rlimit {
            resource: Resource::OpenFiles,
            soft: 1 << 40,
            hard: 1 << 40,
        },
        Rlimit {
            resource: Resource::Core,
            soft: 0,
            hard: 0,
        },
    ];
    let output = output_of(context, &spec);
    let lines: Vec<&str> = output.lines().collect();
    assert!(
        lines[0].parse::<u64>().expect("a number") >= 1024,
        "{output}"
    );
    assert_eq!(lines[1], "0");
}

fn private_files(context: &Context) {
    let script = "cat /etc/hosts /etc/resolv.conf /etc/hostname; (echo x > /etc/hosts) 2>/dev/null && echo writable; readlink /proc/sys/kernel/hostname; cat /proc/sys/kernel/hostname";
    let mut spec = shell(context, script);
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    spec.resolv_conf = Some(b"nameserver 192.0.2.1\n".to_vec());
    spec.hostname = "builder".to_owned();
    assert_eq!(
        run(context, &spec).1,
        "127.0.0.1 localhost\nnameserver 192.0.2.1\nbuilder\nbuilder\n"
    );
}

fn hostile_links(context: &Context) {
    let base = context.store.fresh("hostile");
    let outside = context.store.fresh("outside");
    // One directory has to be left for the shell; everything that we mount on is a link out of the container.
    for name in ["dev", "proc", "sys"] {
        symlink(&outside, base.join(name)).expect("a link");
    }
    fs::create_dir(base.join("etc")).expect("a directory");
    symlink(outside.join("hosts"), base.join("etc/hosts")).expect("a link");
    symlink("/proc/self/environ", base.join("etc/hostname")).expect("a link");
    let mut spec = shell(
        context,
        "cat /etc/hosts; cat /proc/self/status > /dev/null; ls /sys | head -n 1",
    );
    for name in ["bin", "lib", "lib64"] {
        let target = context.store.base().join(name);
        if target.exists() {
            spec.lowers.push(base.clone());
        }
    }
    spec.lowers = vec![context.store.base(), base];
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    spec.hostname_file = false;
    let output = output_of(context, &spec);
    assert!(output.starts_with("127.0.0.1 localhost\n"), "{output}");
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
    spec.upper = context.store.fresh("upper");
    spec.work = context.store.fresh("work");
    spec.hostname_file = true;
    let error = run(context, &spec).0.expect_err("a mount in procfs");
    assert!(error.to_string().contains("/etc/hostname"), "{error}");
}

fn working_directory(context: &Context) {
    // Whatever these numbers are before exec, nothing above the container's root may be reached from there.
    let script = "[ \"$(ls -a ../../../../../../../..)\" = \"$(ls -a /)\" ] && echo inside";
    for number in 0..30 {
        let mut spec = shell(context, script);
        spec.process.cwd = format!("/proc/self/fd/{number}").into_bytes();
        let (result, output) = run(context, &spec);
        assert!(
            result.is_err() || output == "inside\n",
            "{number}: {output}"
        );
    }
    let mut spec = shell(context, "pwd");
    spec.process.cwd = b"/root".to_vec();
    assert_eq!(output_of(context, &spec), "/root\n");
    spec = shell(context, "pwd");
    spec.process.cwd = b"/none".to_vec();
    let error = run(context, &spec).0.expect_err("no directory");
    assert!(
        error
            .to_string()
            .contains("does not exist in the container"),
        "{error}"
    );
}

fn own_binary(context: &Context) {
    // The interpreter of this script is whatever binary started it: ours.
    let base = context.store.fresh("script");
    fs::create_dir(base.join("evil")).expect("a directory");
    fs::write(base.join("evil/run"), "#!/proc/self/exe --list\n").expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(base.join("evil/run"), mode).expect("its mode");
    let before = fs::metadata("/proc/self/exe")
        .expect("our binary")
        .modified()
        .expect("a time");
    let mut spec = shell(
        context,
        "(/evil/run & sleep 0.1; echo x > /proc/$!/exe) 2>/dev/null; true",
    );
    spec.lowers.push(base);
    spec.process.argv = vec![b"/evil/run".to_vec()];
    // Whether it starts depends on its libraries; that it can't be written is what matters.
    let _ = run(context, &spec);
    let mut spec = shell(context, "(echo x > /proc/self/exe) 2>&1; true");
    spec.process.cwd = b"/".to_vec();
    let _ = run(context, &spec);
    assert_eq!(
        fs::metadata("/proc/self/exe")
            .expect("our binary")
            .modified()
            .expect("a time"),
        before
    );
}

fn insecure(context: &Context) {
    let mut spec = shell(
        context,
        "grep Seccomp: /proc/self/status; grep -c ' /proc/' /proc/self/mountinfo",
    );
    spec.security = Security::Insecure;
    // Nothing is mounted over parts of /proc.
    assert!(run(context, &spec).1.starts_with("Seccomp:\t0\n0\n"));
    spec = shell(context, "grep Seccomp: /proc/self/status");
    spec.seccomp = Seccomp::Unconfined;
    spec.process.capabilities = Capabilities::NONE;
    assert_eq!(output_of(context, &spec), "Seccomp:\t0\n");
}

fn read_only_root(context: &Context) {
    let mut spec = shell(context, "touch /x 2>/dev/null; echo $?; touch /dev/shm/x");
    spec.read_only_root = true;
    assert_eq!(output_of(context, &spec), "1\n");
    assert_eq!(
        run(context, &shell(context, "touch /x"))
            .0
            .expect("a launch"),
        Exit::Code(0)
    );
}
