//! Building a netlink message, and taking one apart.

/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// The bits of an attribute's kind that are not flags.
const KIND: u16 = 0x3fff;

/// A message under construction: a header, fixed fields, attributes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of this kind. The length and the sequence number come last.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self { bytes }
    }

    pub(super) fn add_flags(&mut self, flags: u16) {
        let all = native_u16(&self.bytes[6..]) | flags;
        self.bytes[6..8].copy_from_slice(&all.to_ne_bytes());
    }

    /// Appends fixed fields.
    pub(crate) fn fields(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// Appends a number in the machine's order, as rtnetlink has them.
    pub(crate) fn put_native(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends a number in network order, as netfilter has them.
    pub(crate) fn put_network(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Appends a text with its final zero byte.
    pub(crate) fn put_text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    /// Appends an attribute that holds attributes, or fixed fields and attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Appends fixed fields inside of a nested attribute.
    pub(crate) fn put_fields(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The whole message.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// The attributes of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of this kind.
    pub(crate) fn find(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The same as a text without its final zero byte.
    pub(crate) fn text(self, kind: u16) -> Option<String> {
        let value = self.find(kind)?;
        let value = value.strip_suffix(&[0]).unwrap_or(value);
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.len() < 4 {
            return None;
        }
        let length = native_u16(self.0) as usize;
        let kind = native_u16(&self.0[2..]) & KIND;
        if length < 4 || length > self.0.len() {
            return None;
        }
        let value = &self.0[4..length];
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The number at the front of these bytes; 0 if there are too few.
pub(crate) fn native_u16(bytes: &[u8]) -> u16 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

/// The number at the front of these bytes; 0 if there are too few.
pub(crate) fn native_u32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_put() {
        let mut message = Message::new(16, 0).fields(&[1; 6]);
        message.put_text(3, "eth0");
        message.nest(18, |inside| {
            inside.put_native(1, 7);
            inside.put(2, &[9; 5]);
        });
        let bytes = message.finish(5);
        assert_eq!(native_u32(&bytes) as usize, bytes.len());
        let attributes = Attributes(&bytes[24..]);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        let inside = Attributes(attributes.find(18).unwrap());
        assert_eq!(inside.find(1).map(native_u32), Some(7));
        assert_eq!(inside.find(2), Some([9; 5].as_slice()));
        assert_eq!(inside.find(3), None);
    }

    #[test]
    fn cut_attributes_end_the_list() {
        for bytes in [&[][..], &[1, 0], &[3, 0, 1, 0], &[9, 0, 1, 0, 0]] {
            assert_eq!(Attributes(bytes).count(), 0);
        }
    }
}
