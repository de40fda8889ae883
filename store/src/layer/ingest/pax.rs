//! PAX records (POSIX.1-2017 pax, "pax Extended Header").
//!
//! Read here and not with the `tar` crate because that splits at newlines, and the values of extended attributes may
//! hold any byte.

use crate::tree::Time;

/// The records of one header that matter to a layer. `None` means not said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseRecords,
}

/// GNU tar's records for sparse files.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SparseRecords {
    pub major: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Numbers of formats 0.0 and 0.1, offset and length in turn.
    pub map: Option<Vec<u64>>,
}

impl Pax {
    /// Takes over the records of a header, later ones winning. The error says what is wrong with them.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while !records.is_empty() {
            let (key, value, rest) = split_record(records).ok_or("its PAX header is malformed")?;
            self.take(key, value)?;
            records = rest;
        }
        Ok(())
    }

    /// True when a reader that ignores these records sees the same tree.
    pub(super) fn is_harmless(&self) -> bool {
        let Self {
            path,
            link,
            size,
            uid: _,
            gid: _,
            mtime: _,
            xattrs,
            sparse,
        } = self;
        path.is_none()
            && link.is_none()
            && size.is_none()
            && xattrs.is_empty()
            && *sparse == SparseRecords::default()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = optional(value)?,
            b"uid" => self.uid = optional(value)?,
            b"gid" => self.gid = optional(value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => {
                self.mtime = Some(parse_time(value).ok_or("its PAX header has a bad time")?)
            }
            b"GNU.sparse.major" => self.sparse.major = optional(value)?,
            b"GNU.sparse.name" => self.sparse.name = text(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = optional(value)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.get_or_insert_default().push(number(value)?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').map(number);
                self.sparse.map = Some(numbers.collect::<Result<_, _>>()?);
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = unescape(name);
                    if name.is_empty() || name.contains(&0) {
                        return Err("its PAX header has a bad attribute name");
                    }
                    self.xattrs.retain(|(known, _)| *known != name);
                    self.xattrs.push((name, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// `<length> <key>=<value>\n`, the length being that of the whole record.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = &records[..space];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if length <= space + 1 || length > records.len() {
        return None;
    }
    let record = records[space + 1..length].strip_suffix(b"\n")?;
    let equals = record
        .iter()
        .position(|byte| *byte == b'=')
        .filter(|at| *at > 0)?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("its PAX header has a name with a zero byte");
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn optional<T: std::str::FromStr>(value: &[u8]) -> Result<Option<T>, &'static str> {
    if value.is_empty() {
        Ok(None)
    } else {
        number(value).map(Some)
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Result<T, &'static str> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|text| text.parse().ok())
        .ok_or("its PAX header has a bad number")
}

/// Decimal seconds, possibly negative and with a fraction, of which nanoseconds are kept.
fn parse_time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match (is_negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// GNU tar writes `=` and `%` in an attribute's name in hexadecimal.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        if rest.starts_with(b"%3D") {
            plain.push(b'=');
            rest = &rest[3..];
        } else if rest.starts_with(b"%25") {
            plain.push(b'%');
            rest = &rest[3..];
        } else {
            plain.push(byte);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        pax.read(records).map(|()| pax)
    }

    #[test]
    fn values_with_any_byte() {
        let pax = read(b"12 path=a/b\n30 SCHILY.xattr.user.a%3D=x\ny\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.xattrs, [(b"user.a=".to_vec(), b"x\ny".to_vec())]);
    }

    #[test]
    fn times_and_numbers() {
        for (text, time) in [
            ("1.5", (1, 500_000_000)),
            ("-0.5", (-1, 500_000_000)),
            ("-2", (-2, 0)),
            ("7.1234567899", (7, 123_456_789)),
        ] {
            assert_eq!(parse_time(text.as_bytes()), Some(time));
        }
        for text in ["", "-", "1.2.3", "x", ".5", "1e3"] {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn malformed() {
        for records in [
            &b"12 path=a/b"[..],
            b"99 path=a\n",
            b"x path=a\n",
            b"8 path=\n\n",
            b"9 size=-1\n",
            b"7 =abc\n",
            b"0 a=b\n",
            b"11 path=a\0b\n",
        ] {
            assert!(
                read(records).is_err(),
                "{:?}",
                String::from_utf8_lossy(records)
            );
        }
    }
}
