//! What goes wrong.

/// Which requests a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Requests for tokens.
    Token,
    /// Reading a manifest.
    ManifestRead,
    /// Putting a manifest.
    ManifestPut,
    /// Reading a configuration or a layer; those larger than so many bytes.
    BlobRead { above: usize },
    /// Beginning an upload.
    UploadStart,
    /// Sending the bytes of an upload, those larger than so many bytes.
    UploadBody { above: usize },
    /// Anything.
    Any,
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    pub on: On,
    pub what: What,
    /// Requests that pass before it.
    pub skip: usize,
    /// How often it happens.
    pub times: usize,
}

/// How it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The connection breaks after so many bytes of the reply's body.
    CutReply(usize),
    /// The connection breaks after so many bytes of the request's body.
    CutUpload(usize),
    /// The connection breaks before any reply.
    Hangup,
    /// An answer instead of the real one: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// The same, given before the body of the request is read, as front ends with a limit do.
    AnswerEarly(u16),
    /// The credentials are not good any more.
    Unauthorized,
    /// The reply is a page for people, with 200.
    Html,
    /// The reply's body stops after so many bytes and the connection stays open.
    Stall(usize),
    /// The reply's body comes byte by byte after so many bytes.
    Crawl(usize),
    /// No reply at all, and the connection stays open.
    Silence,
    /// One byte of the reply's body is another.
    Corrupt,
    /// The reply ends early as if that were all of it.
    Short,
    /// The reply has no digest.
    NoDigest,
    /// The reply names another digest.
    WrongDigest,
    /// The reply has one more header.
    AlsoSays(&'static str, String),
}

impl Fault {
    pub fn new(on: On, what: What) -> Self {
        Self {
            on,
            what,
            skip: 0,
            times: 1,
        }
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    pub fn after(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// Takes one turn; true if it happens now.
    pub(super) fn strikes(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.times == 0 {
            return false;
        }
        self.times = self.times.saturating_sub(1);
        true
    }
}
