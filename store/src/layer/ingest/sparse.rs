//! GNU tar's sparse files: the old format and the three PAX ones.

use tar::GnuHeader;

use super::archive::number;
use crate::layer::header::BLOCK;

/// Offset and length of each piece of content in the unpacked file, in order.
pub(super) type Segments = Vec<(u64, u64)>;

/// What was found of a map that is read block by block.
pub(super) enum Map {
    Whole(Vec<u64>),
    Longer,
    Broken,
}

/// The numbers and the real size of an old GNU sparse header with its further blocks.
pub(super) fn old_gnu(
    header: &GnuHeader,
    blocks: &[[u8; BLOCK]],
) -> (Option<Vec<u64>>, Option<u64>) {
    let size = number(&header.realsize);
    let mut numbers = Vec::new();
    for part in header.sparse.iter().filter(|part| !part.is_empty()) {
        let (Ok(offset), Ok(length)) = (part.offset(), part.length()) else {
            return (None, size);
        };
        numbers.extend([offset, length]);
    }
    for block in blocks {
        // 21 pairs of twelve-digit fields, the last ones empty.
        for pair in block[..504]
            .chunks_exact(24)
            .take_while(|pair| pair[0] != 0)
        {
            let (Some(offset), Some(length)) = (number(&pair[..12]), number(&pair[12..])) else {
                return (None, size);
            };
            numbers.extend([offset, length]);
        }
    }
    (Some(numbers), size)
}

/// The map in front of the content of format 1.0.
pub(super) fn decimal_map(text: &[u8]) -> Map {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut next = || {
        let line = lines.next()?.strip_suffix(b"\n")?;
        Some(
            std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.parse::<u64>().ok()),
        )
    };
    let count = match next() {
        None => {
            return if text.len() > BLOCK {
                Map::Broken
            } else {
                Map::Longer
            };
        }
        Some(None) => return Map::Broken,
        Some(Some(count)) => count,
    };
    let mut numbers = Vec::new();
    for _ in 0..count.saturating_mul(2) {
        match next() {
            None => return Map::Longer,
            Some(None) => return Map::Broken,
            Some(Some(number)) => numbers.push(number),
        }
    }
    Map::Whole(numbers)
}

/// Pairs in rising order that stay in the file and use exactly the content.
pub(super) fn check(numbers: &[u64], real_size: u64, content: u64) -> Option<Segments> {
    if !numbers.len().is_multiple_of(2) {
        return None;
    }
    let (mut end, mut used) = (0_u64, 0_u64);
    let mut segments = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.chunks_exact(2) {
        if pair[0] < end {
            return None;
        }
        end = pair[0].checked_add(pair[1])?;
        used = used.checked_add(pair[1])?;
        if pair[1] > 0 {
            segments.push((pair[0], pair[1]));
        }
    }
    (end <= real_size && used == content).then_some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        assert_eq!(
            check(&[0, 5, 10, 5, 20, 0], 20, 10),
            Some(vec![(0, 5), (10, 5)])
        );
        for (numbers, size, content) in [
            (&[0, 5, 4, 5][..], 20, 10),
            (&[0, 5], 4, 5),
            (&[0, 5], 20, 6),
            (&[1], 2, 0),
            (&[u64::MAX, 2], 9, 2),
        ] {
            assert_eq!(check(numbers, size, content), None);
        }
        assert!(matches!(decimal_map(b"1\n0\n5\n\0\0"), Map::Whole(numbers) if numbers == [0, 5]));
        assert!(matches!(decimal_map(b"2\n0\n5\n"), Map::Longer));
        assert!(matches!(decimal_map(b"x\n"), Map::Broken));
    }
}
