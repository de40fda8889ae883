//! Random changes of texts.

/// A small generator of random numbers (splitmix64): good enough to choose mutations, the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`, 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }
}

/// What the languages are made of.
const PIECES: [&str; 72] = [
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "EXPOSE ",
    "SHELL ",
    "VOLUME ",
    "USER ",
    "WORKDIR ",
    "STOPSIGNAL ",
    "MAINTAINER ",
    "ENTRYPOINT ",
    " AS ",
    "--from=",
    "--mount=type=cache,target=/x",
    "--platform=$P",
    "--chmod=u=rwX",
    "--exclude=",
    "-- ",
    "<<EOF",
    "<<-'EOF'",
    "3<<\"E\"",
    "<< ",
    "EOF",
    "\nEOF\n",
    "# check=skip=all\n",
    "# escape=`\n",
    "# syntax=x\n",
    "#",
    "\\\n",
    "`\n",
    "\\",
    "`",
    "\n",
    "\r\n",
    "\n\n",
    "\t",
    " ",
    "\"",
    "'",
    "$",
    "${",
    "}",
    "${a:-",
    "${a#",
    "${a//",
    "/",
    "*",
    "?",
    "**",
    "[",
    "]",
    "!",
    "[\"a\", \"b\"]",
    "[",
    "\\u00e9",
    "\\ud83d",
    "=",
    ",",
    ":",
    "é",
    "한",
    "\u{feff}",
    "\u{a0}",
    "\u{2028}",
    "\0",
];

/// How much a mutant may grow: long inputs are slow and find little more.
const MAX_CHARACTERS: usize = 4_000;

/// A member of the corpus with some changes.
pub(super) fn mutant(random: &mut Random, corpus: &[String]) -> String {
    let Some(start) = corpus.get(random.below(corpus.len())) else {
        return PIECES[random.below(PIECES.len())].to_owned();
    };
    let mut text: Vec<char> = start.chars().collect();
    for _ in 0..=random.below(8) {
        let (from, to) = range(random, text.len());
        match random.below(8) {
            0 | 1 => drop(text.splice(from..from, PIECES[random.below(PIECES.len())].chars())),
            2 => drop(text.drain(from..to)),
            3 => {
                let copy: Vec<char> = text[from..to].to_vec();
                let at = random.below(text.len() + 1);
                text.splice(at..at, copy);
            }
            4 => drop(text.splice(from..to, PIECES[random.below(PIECES.len())].chars())),
            5 => text.truncate(from),
            6 => {
                let other: Vec<char> = corpus[random.below(corpus.len())].chars().collect();
                let (start, end) = range(random, other.len());
                text.splice(from..from, other[start..end].iter().copied());
            }
            _ => {
                if let Some(character) = text.get_mut(from) {
                    *character = char::from_u32(u32::try_from(random.below(0x250)).unwrap_or(0))
                        .unwrap_or(' ');
                }
            }
        }
        text.truncate(MAX_CHARACTERS);
    }
    text.into_iter().collect()
}

/// A range within `length`, more often short than long.
fn range(random: &mut Random, length: usize) -> (usize, usize) {
    let from = random.below(length + 1);
    let longest = if random.below(4) == 0 {
        length - from
    } else {
        (length - from).min(20)
    };
    (from, from + random.below(longest + 1))
}
