//! The scheduler against a scripted executor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use super::*;

/// Notes what ran with which inputs; a vertex may meet others at a barrier, fail, or wait for the flag.
struct Script<'a> {
    log: Mutex<Vec<(usize, Vec<usize>)>>,
    meet: Option<(&'a [usize], Barrier)>,
    fails: Option<usize>,
    waits: Option<(usize, Cancel)>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Script<'_> {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            meet: None,
            fails: None,
            waits: None,
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }
}

impl Executor for Script<'_> {
    type Output = usize;
    type Error = String;

    fn execute(&self, vertex: usize, inputs: Vec<usize>) -> Result<usize, String> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.log
            .lock()
            .expect("no holder of the lock panics")
            .push((vertex, inputs));
        if let Some((meeting, barrier)) = &self.meet
            && meeting.contains(&vertex)
        {
            barrier.wait();
        }
        if let Some((waiting, cancel)) = &self.waits
            && *waiting == vertex
        {
            while !cancel.is_cancelled() {
                std::thread::yield_now();
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            return Err("ended".to_owned());
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        if self.fails == Some(vertex) {
            Err(format!("{vertex} failed"))
        } else {
            Ok(vertex * 10)
        }
    }
}

fn order(script: &Script<'_>) -> Vec<usize> {
    script
        .log
        .lock()
        .expect("no holder of the lock panics")
        .iter()
        .map(|(vertex, _)| *vertex)
        .collect()
}

#[test]
fn a_chain_runs_in_order_with_its_inputs() {
    let dependencies = vec![vec![], vec![0], vec![1, 0], vec![]];
    let script = Script::default();
    let work = Work {
        dependencies: &dependencies,
        wanted: &[true, true, true, false],
    };
    let outputs = run(&work, 1, &Cancel::new(), &script).expect("nothing fails");
    assert_eq!(outputs, [Some(0), Some(10), Some(20), None]);
    assert_eq!(
        *script.log.lock().expect("unpoisoned"),
        [(0, vec![]), (1, vec![0]), (2, vec![10, 0])]
    );
}

#[test]
fn independent_vertices_meet() {
    let dependencies = vec![vec![], vec![0], vec![0], vec![0], vec![1, 2, 3]];
    let script = Script {
        meet: Some((&[1, 2, 3], Barrier::new(3))),
        ..Script::default()
    };
    let work = Work {
        dependencies: &dependencies,
        wanted: &[true; 5],
    };
    run(&work, 3, &Cancel::new(), &script).expect("nothing fails");
    assert_eq!(script.most.load(Ordering::SeqCst), 3);
}

#[test]
fn never_more_than_jobs() {
    let dependencies = vec![vec![]; 20];
    let script = Script::default();
    run(
        &Work {
            dependencies: &dependencies,
            wanted: &[true; 20],
        },
        2,
        &Cancel::new(),
        &script,
    )
    .expect("nothing fails");
    assert!(script.most.load(Ordering::SeqCst) <= 2);
    assert_eq!(order(&script).len(), 20);
}

#[test]
fn a_failure_ends_the_others() {
    let dependencies = vec![vec![], vec![], vec![1], vec![0]];
    let stop = Cancel::new();
    let script = Script {
        fails: Some(0),
        waits: Some((1, stop.clone())),
        meet: Some((&[0, 1], Barrier::new(2))),
        ..Script::default()
    };
    let result = run(
        &Work {
            dependencies: &dependencies,
            wanted: &[true; 4],
        },
        2,
        &stop,
        &script,
    );
    assert_eq!(result, Err(Stopped::Failed(0, "0 failed".to_owned())));
    let mut ran = order(&script);
    ran.sort_unstable();
    assert_eq!(ran, [0, 1]);
}

#[test]
fn a_raised_flag_starts_nothing() {
    let stop = Cancel::new();
    stop.cancel();
    let script = Script::default();
    let result = run(
        &Work {
            dependencies: &[vec![]],
            wanted: &[true],
        },
        2,
        &stop,
        &script,
    );
    assert_eq!(result, Err(Stopped::Cancelled));
    assert!(order(&script).is_empty());
}

#[test]
fn a_vertex_that_ends_because_of_the_flag_is_no_result() {
    struct Raises(Cancel);
    impl Executor for Raises {
        type Output = ();
        type Error = ();
        fn execute(&self, _: usize, _: Vec<()>) -> Result<(), ()> {
            self.0.cancel();
            Err(())
        }
    }
    let stop = Cancel::new();
    let work = Work {
        dependencies: &[vec![]],
        wanted: &[true],
    };
    let result = run(&work, 2, &stop, &Raises(stop.clone()));
    assert_eq!(result, Err(Stopped::Cancelled));
}
