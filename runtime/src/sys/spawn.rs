//! Starting a program without a copy of this process: its memory is shared until exec.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

/// Executes `program` as `name` without arguments and environment, with `stdin` as its standard input and the null device as its
/// output.
pub fn spawn(program: &CStr, name: &CStr, stdin: BorrowedFd<'_>) -> Result<Pid, Errno> {
    let mut actions = FileActions::new()?;
    actions.duplicate(stdin, 0)?;
    actions.open(1, c"/dev/null")?;
    actions.open(2, c"/dev/null")?;
    let arguments = [name.as_ptr().cast_mut(), ptr::null_mut()];
    let environment = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: every pointer is valid for the call; both arrays end with a null.
    done(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            actions.0.as_ptr(),
            ptr::null(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Pid::from_raw(pid).ok_or(Errno::CHILD)
}

/// What is done with descriptors before exec.
struct FileActions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl FileActions {
    fn new() -> Result<Self, Errno> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises what it is given.
        done(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Self(actions))
    }

    fn duplicate(&mut self, fd: BorrowedFd<'_>, to: i32) -> Result<(), Errno> {
        let actions = self.0.as_mut_ptr();
        // SAFETY: initialised above; the descriptor outlives the call that uses it, as its borrower's does.
        done(unsafe { libc::posix_spawn_file_actions_adddup2(actions, fd.as_raw_fd(), to) })
    }

    fn open(&mut self, number: i32, path: &CStr) -> Result<(), Errno> {
        let actions = self.0.as_mut_ptr();
        // SAFETY: initialised above; the path is copied.
        done(unsafe {
            libc::posix_spawn_file_actions_addopen(actions, number, path.as_ptr(), libc::O_RDWR, 0)
        })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again. Fails for nothing that is.
        let _ = unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

/// These calls return their error.
fn done(code: libc::c_int) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        code => Err(Errno::from_raw_os_error(code)),
    }
}
