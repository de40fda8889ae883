//! Launches that are made to fail, to see what is said and that nothing is left behind.

use std::ffi::CString;

use super::{Child, Launcher};
use crate::plan::{self, Operation, Plan};
use crate::{LaunchError, Spec, Stdio, seccomp};

/// Something that goes wrong in a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The operation with this index fails with this error, see [`Launcher::operations`].
    Operation(usize, i32),
    /// From the operation with this index on, a system call fails, as it does in an older kernel or behind an outer container's
    /// filter.
    Call {
        /// Index of the operation.
        from: usize,
        /// The call's name.
        name: &'static str,
        /// Only calls with this value as the second argument.
        second: Option<u32>,
        /// The error.
        errno: i32,
    },
}

impl Launcher {
    /// Names of the operations of a launch, in order.
    pub fn operations(&self, spec: &Spec, stdio: Stdio) -> Result<Vec<&'static str>, LaunchError> {
        let plan = plan::container(&self.inner.site, spec, stdio)?.plan;
        Ok(plan.operations.iter().map(Operation::name).collect())
    }

    /// Starts a process as [`Launcher::spawn`] does, with a fault.
    pub fn spawn_with_fault(
        &self,
        spec: &Spec,
        stdio: Stdio,
        fault: &Fault,
    ) -> Result<Child, LaunchError> {
        self.spawn_with(spec, stdio, |plan| fault.add(plan))
            .map(|(child, _)| child)
    }
}

impl Fault {
    fn add(&self, plan: &mut Plan) {
        let (at, operation) = match self {
            Self::Operation(index, errno) => {
                let Some(operation) = plan.operations.get(*index) else {
                    return;
                };
                let name = operation.name();
                (
                    *index,
                    Operation::Fail {
                        name: CString::new(name).unwrap_or_default(),
                        errno: *errno,
                    },
                )
            }
            Self::Call {
                from,
                name,
                second,
                errno,
            } => {
                let program = seccomp::failing(name, *second, *errno);
                (*from, Operation::Filter { program })
            }
        };
        // What is done ahead ends before the fault.
        plan.ahead = plan.ahead.min(at as u32);
        plan.operations.insert(at, operation);
    }
}
