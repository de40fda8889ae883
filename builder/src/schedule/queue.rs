//! Which vertices are ready, pure.

use std::collections::BTreeSet;

use super::Work;

/// The vertices that wait, those that are ready in the order of their numbers, and how many run.
#[derive(Debug)]
pub(super) struct Queue {
    missing: Vec<usize>,
    users: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
    running: usize,
    left: usize,
}

impl Queue {
    pub(super) fn new(work: &Work<'_>) -> Self {
        let count = work.dependencies.len();
        let mut queue = Self {
            missing: vec![0; count],
            users: vec![Vec::new(); count],
            ready: BTreeSet::new(),
            running: 0,
            left: 0,
        };
        for vertex in (0..count).filter(|vertex| work.wanted[*vertex]) {
            let inputs: BTreeSet<usize> = work.dependencies[vertex].iter().copied().collect();
            queue.missing[vertex] = inputs.len();
            queue.left += 1;
            if inputs.is_empty() {
                queue.ready.insert(vertex);
            }
            for input in inputs {
                queue.users[input].push(vertex);
            }
        }
        queue
    }

    /// Takes the ready vertex with the lowest number.
    pub(super) fn take(&mut self) -> Option<usize> {
        let vertex = self.ready.pop_first()?;
        self.running += 1;
        Some(vertex)
    }

    /// Notes that a vertex ended, which may make others ready.
    pub(super) fn done(&mut self, vertex: usize) {
        self.running -= 1;
        self.left -= 1;
        for user in std::mem::take(&mut self.users[vertex]) {
            self.missing[user] -= 1;
            if self.missing[user] == 0 {
                self.ready.insert(user);
            }
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running > 0
    }

    pub(super) fn is_finished(&self) -> bool {
        self.left == 0
    }
}
