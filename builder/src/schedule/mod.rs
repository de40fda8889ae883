//! Runs the vertices of a graph on threads, each after those it depends on.
//!
//! The scheduler knows nothing of containers: an [`Executor`] does the work, in tests a scripted one.
//!
//! Concurrency: the calling thread works too. Further threads are started only while more than one vertex is ready, so
//! a chain of cached steps runs on one thread. A vertex that ends hands its first successor to the same thread.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use crate::cancel::Cancel;
use queue::Queue;

/// Does the work of one vertex.
pub(crate) trait Executor: Sync {
    /// What a vertex gives to those that depend on it.
    type Output: Clone + Send;
    /// Why a vertex failed.
    type Error: Send;

    /// Works on one vertex; `inputs` are the outputs of its dependencies in their order.
    fn execute(
        &self,
        vertex: usize,
        inputs: Vec<Self::Output>,
    ) -> Result<Self::Output, Self::Error>;
}

/// Why a schedule did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped<E> {
    /// This vertex failed first.
    Failed(usize, E),
    /// The flag went up.
    Cancelled,
}

/// The shape of the work: what each vertex depends on, and which vertices are wanted at all.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// For each vertex the vertices whose outputs it takes, all with lower numbers.
    pub(crate) dependencies: &'a [Vec<usize>],
    /// The vertices to run. Those they depend on must be among them.
    pub(crate) wanted: &'a [bool],
}

/// Runs the wanted vertices, at most `jobs` at once. Raises `stop` when a vertex fails, so that the others end early.
pub(crate) fn run<E: Executor>(
    work: &Work<'_>,
    jobs: usize,
    stop: &Cancel,
    executor: &E,
) -> Result<Vec<Option<E::Output>>, Stopped<E::Error>> {
    let shared = Shared {
        state: Mutex::new(State {
            queue: Queue::new(work),
            outputs: work.dependencies.iter().map(|_| None).collect(),
            failure: None,
            halted: false,
            workers: 1,
        }),
        changed: Condvar::new(),
        jobs: jobs.max(1),
    };
    let waker = stop.clone();
    thread::scope(|scope| worker(scope, work, &shared, &waker, executor));
    let state = shared
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some((vertex, error)) => Err(Stopped::Failed(vertex, error)),
        None if state.queue.is_finished() && !state.halted => Ok(state.outputs),
        None => Err(Stopped::Cancelled),
    }
}

struct Shared<O, E> {
    state: Mutex<State<O, E>>,
    changed: Condvar,
    jobs: usize,
}

struct State<O, E> {
    queue: Queue,
    outputs: Vec<Option<O>>,
    failure: Option<(usize, E)>,
    halted: bool,
    workers: usize,
}

impl<O, E> Shared<O, E> {
    fn lock(&self) -> MutexGuard<'_, State<O, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes every worker if this one ends by a panic, so that none waits for it.
struct Halt<'a, O, E>(&'a Shared<O, E>);

impl<O, E> Drop for Halt<'_, O, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().halted = true;
        }
        self.0.changed.notify_all();
    }
}

fn worker<'scope, 'env: 'scope, E: Executor>(
    scope: &'scope Scope<'scope, 'env>,
    work: &'env Work<'_>,
    shared: &'env Shared<E::Output, E::Error>,
    stop: &'env Cancel,
    executor: &'env E,
) {
    let _halt = Halt(shared);
    let mut state = shared.lock();
    loop {
        if state.halted || state.queue.is_finished() || stop.is_cancelled() {
            return;
        }
        let Some(vertex) = state.queue.take() else {
            if !state.queue.is_running() {
                return;
            }
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if state.queue.has_ready() && state.workers < shared.jobs {
            state.workers += 1;
            scope.spawn(move || worker(scope, work, shared, stop, executor));
        }
        let inputs = work.dependencies[vertex]
            .iter()
            .filter_map(|input| state.outputs[*input].clone())
            .collect();
        drop(state);
        let result = executor.execute(vertex, inputs);
        state = shared.lock();
        state.queue.done(vertex);
        match result {
            Ok(output) => state.outputs[vertex] = Some(output),
            Err(error) => {
                let cancelled = stop.is_cancelled();
                if state.failure.is_none() && !cancelled {
                    state.failure = Some((vertex, error));
                }
                state.halted = true;
                drop(state);
                stop.cancel();
                return;
            }
        }
        shared.changed.notify_all();
    }
}
