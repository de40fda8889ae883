//! Executing programs from strings encoded beforehand.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use rustix::io::Errno;

/// A null-terminated array of C strings, as `execve` takes it.
#[derive(Debug)]
pub struct StringArray {
    /// Owns what the pointers point at; never changed after construction.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl StringArray {
    /// The array of `strings`.
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self {
            _strings: strings,
            pointers,
        }
    }
}

/// Replaces this process by a program. Returns only on failure.
pub fn execute(path: &CStr, arguments: &StringArray, environment: &StringArray) -> Errno {
    // SAFETY: path and both arrays are valid and null-terminated by construction.
    unsafe {
        libc::execve(
            path.as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
        )
    };
    super::last_error()
}
