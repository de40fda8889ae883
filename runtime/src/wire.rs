//! The encoding of plans and messages between the engine and the zygote, which are the same binary: little-endian
//! numbers, length-prefixed sequences, one byte for the variant of an enum.

use std::ffi::CString;

/// A value that can be sent.
pub(crate) trait Wire: Sized {
    /// Appends the encoding.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes a value from the front; `None` if the bytes are not one.
    fn get(input: &mut &[u8]) -> Option<Self>;

    /// The whole encoding.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        self.put(&mut out);
        out
    }

    /// The value of exactly these bytes.
    fn decode(mut input: &[u8]) -> Option<Self> {
        let value = Self::get(&mut input)?;
        input.is_empty().then_some(value)
    }
}

/// A sequence of bytes, sent as such.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.len() <= 200 => write!(f, "{text:?}"),
            _ => write!(f, "<{} bytes>", self.0.len()),
        }
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(count)?;
    *input = tail;
    Some(head)
}

macro_rules! wire_numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                take(input, size_of::<Self>())?.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )*};
}

wire_numbers!(u8, u16, u32, u64, i32, i64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        Some(u8::get(input)? != 0)
    }
}

impl Wire for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        (self.0.len() as u32).put(out);
        out.extend_from_slice(&self.0);
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        let length = u32::get(input)? as usize;
        Some(Self(take(input, length)?.to_vec()))
    }
}

impl Wire for CString {
    fn put(&self, out: &mut Vec<u8>) {
        (self.as_bytes().len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        let length = u32::get(input)? as usize;
        Self::new(take(input, length)?).ok()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for item in self {
            item.put(out);
        }
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        let length = u32::get(input)?;
        (0..length).map(|_| T::get(input)).collect()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(input: &mut &[u8]) -> Option<Self> {
        if bool::get(input)? {
            T::get(input).map(Some)
        } else {
            Some(None)
        }
    }
}

/// Implements [`Wire`] for a struct: every field in order.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                $(let $field = crate::wire::Wire::get(input)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}

/// Implements [`Wire`] for an enum of struct-like variants, each with its number.
macro_rules! wire_enum {
    ($name:ident { $($number:literal => $variant:ident $({ $($field:ident),* $(,)? })?),* $(,)? }) => {
        impl crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        out.push($number);
                        $($($field.put(out);)*)?
                    })*
                }
            }
            fn get(input: &mut &[u8]) -> Option<Self> {
                match u8::get(input)? {
                    $($number => {
                        $($(let $field = crate::wire::Wire::get(input)?;)*)?
                        Some(Self::$variant $({ $($field),* })?)
                    })*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Sample {
        Empty,
        Full {
            number: u32,
            texts: Vec<CString>,
            maybe: Option<Bytes>,
        },
    }
    wire_enum!(Sample { 0 => Empty, 7 => Full { number, texts, maybe } });

    #[test]
    fn values_survive_the_wire_and_short_input_does_not() {
        let full = Sample::Full {
            number: 0xDEAD_BEEF,
            texts: vec![c"one".to_owned(), c"".to_owned()],
            maybe: Some(Bytes(vec![0, 1, 2])),
        };
        let bytes = full.encode();
        assert_eq!(Sample::decode(&bytes), Some(full));
        assert_eq!(Sample::decode(&Sample::Empty.encode()), Some(Sample::Empty));
        for cut in 0..bytes.len() {
            assert_eq!(Sample::decode(&bytes[..cut]), None);
        }
    }
}
