//! Questions and answers of the domain name system (RFC 1035), as far as a resolver needs them that forwards what it does not know.
//!
//! Everything here was sent by a container and is not to be believed: nothing is read beyond the message, and names are only
//! compared.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of a message's header.
const HEADER: usize = 12;
/// Longest name in bytes, with the lengths of its labels.
const NAME_LIMIT: usize = 255;
/// Longest label.
const LABEL_LIMIT: usize = 63;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// Seconds that an answer may be remembered: few, because containers come and go.
const TIME_TO_LIVE: u32 = 5;
/// "This message is a response", "the server can recurse".
const RESPONSE: u8 = 0x80;
const RECURSION_AVAILABLE: u8 = 0x80;
/// The bits of the first flag byte that are copied from the question: operation code and "recursion desired".
const COPIED: u8 = 0x79;
/// `SERVFAIL`
const SERVER_FAILURE: u8 = 2;

/// A question that could be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name in lower case, without its final dot.
    pub name: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// Where the question ends in its message.
    end: usize,
}

/// What is wanted of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
    /// The name of this address.
    NameOf(IpAddr),
    /// Something that only others know.
    Other,
}

/// What is known about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its addresses, of both kinds.
    Addresses(Vec<IpAddr>),
    /// It is the name of an address.
    Name(String),
}

/// The question of a message; `None` if the message is not one plain question.
pub(crate) fn question(message: &[u8]) -> Option<Question> {
    let header = message.get(..HEADER)?;
    // A query with operation code 0 and exactly one question.
    if header[2] & (RESPONSE | 0x78) != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let (name, end) = name(message)?;
    let kind = u16::from_be_bytes(*message.get(end..)?.first_chunk()?);
    let class = u16::from_be_bytes(*message.get(end + 2..)?.first_chunk()?);
    let wanted = match (class, kind) {
        (CLASS_IN, TYPE_A) => Wanted::V4,
        (CLASS_IN, TYPE_AAAA) => Wanted::V6,
        (CLASS_IN, TYPE_PTR) => reverse(&name).map_or(Wanted::Other, Wanted::NameOf),
        _ => Wanted::Other,
    };
    Some(Question {
        name,
        wanted,
        end: end + 4,
    })
}

/// Reads the name behind the header. Pointers make no sense there.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > LABEL_LIMIT || at + length - HEADER > NAME_LIMIT {
            return None;
        }
        let label = message.get(at..at + length)?;
        if !label.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(
            label
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
        at += length;
    }
}

/// The address of a name such as `4.3.2.1.in-addr.arpa`.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = digits.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts
            .next()
            .is_none()
            .then(|| Ipv4Addr::from(octets).into());
    }
    let digits: Vec<u128> = name
        .strip_suffix(".ip6.arpa")?
        .split('.')
        .map(|digit| {
            u8::from_str_radix(digit, 16)
                .ok()
                .filter(|_| digit.len() == 1)
        })
        .map(|digit| digit.map(u128::from))
        .collect::<Option<_>>()?;
    let value = digits
        .iter()
        .rev()
        .fold(0_u128, |value, digit| value << 4 | digit);
    (digits.len() == 32).then(|| Ipv6Addr::from(value).into())
}

/// The answer to a question in `message`. A name without what is wanted gets an answer with nothing in it: it exists.
pub(crate) fn answer(message: &[u8], question: &Question, known: &Known) -> Vec<u8> {
    let records: Vec<(u16, Vec<u8>)> = match (known, question.wanted) {
        (Known::Name(name), _) => vec![(TYPE_PTR, encode(name))],
        (Known::Addresses(addresses), wanted) => addresses
            .iter()
            .filter_map(|address| match (address, wanted) {
                (IpAddr::V4(address), Wanted::V4) => Some((TYPE_A, address.octets().to_vec())),
                (IpAddr::V6(address), Wanted::V6) => Some((TYPE_AAAA, address.octets().to_vec())),
                _ => None,
            })
            .collect(),
    };
    let mut reply = head(message, question, 0, records.len() as u16);
    for (kind, data) in records {
        // The name of the question, by a pointer to it.
        reply.extend([0xc0, HEADER as u8]);
        reply.extend(kind.to_be_bytes());
        reply.extend(CLASS_IN.to_be_bytes());
        reply.extend(TIME_TO_LIVE.to_be_bytes());
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    reply
}

/// The answer when nobody could be asked.
pub(crate) fn failure(message: &[u8], question: &Question) -> Vec<u8> {
    head(message, question, SERVER_FAILURE, 0)
}

/// Header and question of an answer.
fn head(message: &[u8], question: &Question, code: u8, records: u16) -> Vec<u8> {
    let mut reply = message[..question.end].to_vec();
    reply[2] = RESPONSE | (reply[2] & COPIED);
    reply[3] = RECURSION_AVAILABLE | code;
    reply[6..8].copy_from_slice(&records.to_be_bytes());
    reply[8..HEADER].fill(0);
    reply
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(LABEL_LIMIT)];
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

/// Whether this is an answer to that question: from elsewhere, so it may be forged.
pub(crate) fn is_answer(reply: &[u8], message: &[u8]) -> bool {
    let same = |range: std::ops::Range<usize>| reply.get(range.clone()) == message.get(range);
    let Some(question) = question(message) else {
        return reply.len() >= HEADER && same(0..2) && reply[2] & RESPONSE != 0;
    };
    let asked = |bytes: &[u8]| {
        let part = bytes.get(HEADER..question.end);
        part.map(<[u8]>::to_ascii_lowercase)
    };
    reply.len() >= HEADER
        && same(0..2)
        && reply[2] & RESPONSE != 0
        // A server that failed may leave the question out.
        && (reply[4..6] == [0, 0] || asked(reply) == asked(message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(encode(name));
        message.extend(kind.to_be_bytes());
        message.extend(CLASS_IN.to_be_bytes());
        // What an additional record could be: it must not be copied.
        message.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        message
    }

    #[test]
    fn a_question_is_understood_and_answered() {
        let message = ask("Web.Example", TYPE_A);
        let question = question(&message).unwrap();
        assert_eq!(
            (question.name.as_str(), question.wanted),
            ("web.example", Wanted::V4)
        );
        let addresses = ["10.0.0.2", "fd00::2"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let reply = answer(&message, &question, &Known::Addresses(addresses.clone()));
        assert_eq!(reply[..12], [7, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(reply[reply.len() - 6..], [0, 4, 10, 0, 0, 2]);
        assert!(is_answer(&reply, &message));
        let six = ask("web.example", TYPE_AAAA);
        let reply = answer(
            &six,
            &super::question(&six).unwrap(),
            &Known::Addresses(addresses),
        );
        assert_eq!(reply[6..8], [0, 1]);
        let failed = failure(&message, &question);
        assert_eq!((failed[3], failed[6..8].to_vec()), (0x82, vec![0, 0]));
    }

    #[test]
    fn addresses_are_found_in_reverse_names() {
        let wanted = |name: &str| question(&ask(name, TYPE_PTR)).unwrap().wanted;
        assert_eq!(
            wanted("4.3.2.10.in-addr.arpa"),
            Wanted::NameOf("10.2.3.4".parse().unwrap())
        );
        let six = format!("2{}.d.f.ip6.arpa", ".0".repeat(29));
        assert_eq!(wanted(&six), Wanted::NameOf("fd00::2".parse().unwrap()));
        for other in [
            "4.3.2.in-addr.arpa",
            "999.3.2.1.in-addr.arpa",
            "1.2.ip6.arpa",
            "arpa",
        ] {
            assert_eq!(wanted(other), Wanted::Other, "{other}");
        }
    }

    #[test]
    fn what_is_no_plain_question_is_left_to_others() {
        let good = ask("a.b", TYPE_A);
        for (at, value) in [(2, 0x81), (2, 0x28), (5, 2), (5, 0), (12, 0xc0), (13, b' ')] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(question(&bad), None, "{at}");
        }
        assert_eq!(question(&good[..16]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut message = message;
            if let Some(question) = question(&message) {
                prop_assert!(failure(&message, &question).len() <= message.len());
            }
            if message.len() > 12 {
                message[2] = 0;
                message[4..6].copy_from_slice(&[0, 1]);
            }
            if let Some(question) = question(&message) {
                let reply = answer(&message, &question, &Known::Addresses(Vec::new()));
                prop_assert!(is_answer(&reply, &message));
            }
        }
    }
}
