//! The cost of a launch: `launch --bench [COUNT]`.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_runtime::Stdio;

use crate::Context;
use crate::steps::{null, shell};

/// Launches `true` many times and prints the distribution, in milliseconds, and the medians of its parts, in microseconds.
pub(crate) fn run(context: &Context, count: usize) {
    let mut totals = Vec::new();
    let mut started = Vec::new();
    let mut parts: BTreeMap<usize, (&str, Vec<Duration>)> = BTreeMap::new();
    // Images of distributions have these files.
    let files = context.store.fresh("files");
    std::fs::create_dir(files.join("etc")).expect("a directory");
    for name in ["hosts", "resolv.conf", "hostname"] {
        std::fs::write(files.join("etc").join(name), "").expect("a file");
    }
    for _ in 0..count {
        let mut spec = shell(context, "");
        spec.lowers.push(files.clone());
        spec.process.argv = vec![b"true".to_vec()];
        spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
        spec.resolv_conf = Some(b"nameserver 127.0.0.1\n".to_vec());
        let stdio = Stdio::Files {
            stdin: null(),
            stdout: null(),
            stderr: null(),
        };
        let measured = context.launcher.measure(&spec, stdio).expect("a launch");
        totals.push(measured.total);
        started.push(measured.started);
        for (index, (name, spent)) in measured.parts.into_iter().enumerate() {
            parts
                .entry(index)
                .or_insert((name, Vec::new()))
                .1
                .push(spent);
        }
        std::fs::remove_dir_all(&spec.upper).expect("its end");
        std::fs::remove_dir_all(&spec.work).expect("its end");
    }
    totals.sort();
    let at = |percent: usize| totals[(count - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "launch: min {:.2} p25 {:.2} p50 {:.2} p90 {:.2} max {:.2} ms",
        at(0),
        at(25),
        at(50),
        at(90),
        at(100)
    );
    started.sort();
    println!(
        "  started after      {:6.0} us",
        started[count / 2].as_secs_f64() * 1e6
    );
    for (name, mut spent) in parts.into_values() {
        spent.sort();
        println!(
            "  {name:18} {:6.0} us",
            spent[spent.len() / 2].as_secs_f64() * 1e6
        );
    }
}
