//! Random bytes from the kernel.

use rustix::rand::{GetRandomFlags, getrandom};

use super::error::{Context, Result};

/// Fills `buffer` with random bytes.
pub(crate) fn fill(buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match getrandom(&mut buffer[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "getting random bytes".to_owned()),
        }
    }
    Ok(())
}

/// A number below `limit`. The bias of the remainder does not matter for choosing words.
pub(crate) fn below(limit: usize) -> Result<usize> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok((u64::from_le_bytes(bytes) % limit.max(1) as u64) as usize)
}
