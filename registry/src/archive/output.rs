//! Where an archive is written to: a file that appears when it is whole, or a stream.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use crate::error::{Error, Result};

/// What is written at once.
const BUFFER: usize = 256 << 10;

/// The unit of a tar.
const BLOCK: u64 = 512;

/// A tar in the making.
pub(super) struct Output {
    /// Taken when the archive ends: then what is buffered is written, and never by dropping it.
    writer: Option<BufWriter<Box<dyn Write + Send>>>,
    name: String,
    /// The file in the making and the name that it gets.
    file: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// A file that appears under its name when it is finished. What is no file there, such as a pipe, is written into.
    pub(super) fn file(path: &Path) -> Result<Self> {
        let is_special = std::fs::metadata(path).is_ok_and(|there| !there.is_file());
        let (making, file) = if is_special {
            (path.to_owned(), None)
        } else {
            let base = path.file_name().unwrap_or_default().to_string_lossy();
            let making = path.with_file_name(format!(".{base}.{}", std::process::id()));
            (making.clone(), Some((making, path.to_owned())))
        };
        let opened = if is_special {
            File::options().write(true).open(&making)
        } else {
            File::create(&making)
        };
        let opened = opened.map_err(|error| Error::io(path, error))?;
        Ok(Self {
            writer: Some(BufWriter::with_capacity(BUFFER, Box::new(opened))),
            name: path.display().to_string(),
            file,
        })
    }

    /// A stream.
    pub(super) fn stream(name: &str, stream: Box<dyn Write + Send>) -> Self {
        Self {
            writer: Some(BufWriter::with_capacity(BUFFER, stream)),
            name: name.to_owned(),
            file: None,
        }
    }

    /// Writes the header of a file; its content follows, then [`Output::pad`].
    pub(super) fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        self.header(name, EntryType::Regular, 0o644, size)
    }

    /// Writes a directory.
    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        self.header(name, EntryType::Directory, 0o755, 0)
    }

    /// Writes a small file.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Writes content.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.writer {
            Some(writer) => writer.write_all(bytes),
            None => Ok(()),
        };
        written.map_err(|source| self.failed(source))
    }

    /// Fills up the last block of a file of this size.
    pub(super) fn pad(&mut self, size: u64) -> Result<()> {
        let used = (size % BLOCK) as usize;
        if used == 0 {
            return Ok(());
        }
        self.write(&[0; BLOCK as usize][used..])
    }

    /// Ends the archive and lets it appear.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK as usize])?;
        if let Some(mut writer) = self.writer.take() {
            writer.flush().map_err(|source| self.failed(source))?;
        }
        if let Some((making, place)) = self.file.take() {
            std::fs::rename(&making, &place).map_err(|error| {
                // It has a name again that nobody looks for.
                let _ = std::fs::remove_file(&making);
                Error::io(&place, error)
            })?;
        }
        Ok(())
    }

    fn header(&mut self, name: &str, kind: EntryType, mode: u32, size: u64) -> Result<()> {
        let mut header = Header::new_gnu();
        header
            .set_path(name)
            .map_err(|source| self.failed(source))?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        // The same images give the same archive.
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io {
            path: self.name.clone(),
            source,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // Unfinished: nobody wants the rest.
            drop(writer.into_parts());
        }
        if let Some((making, _)) = &self.file {
            // What cannot be deleted stays under a name that nobody takes for the archive.
            let _ = std::fs::remove_file(making);
        }
    }
}
