//! The errors of the language, each with its stable code. A code is never given to something else.

/// A code and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// `K0001` and so on.
    pub code: &'static str,
    /// What is wrong, in general.
    pub title: &'static str,
}

macro_rules! codes {
    ($($(#[doc = $title:literal])* $name:ident = $code:literal;)*) => {
        $($(#[doc = $title])* pub const $name: &str = $code;)*

        /// All codes in order.
        pub const CODES: &[CodeInfo] = &[$(CodeInfo { code: $code, title: concat!($($title),*) }),*];
    };
}

codes! {
    /// the file has no instructions
    EMPTY_FILE = "K0001";
    /// unknown instruction
    UNKNOWN_INSTRUCTION = "K0002";
    /// the file has no FROM
    NO_STAGES = "K0003";
    /// an instruction other than ARG in front of the first FROM
    BEFORE_FROM = "K0004";
    /// a parser directive is given twice
    DUPLICATE_DIRECTIVE = "K0005";
    /// the escape directive names an impossible character
    INVALID_ESCAPE = "K0006";
    /// unknown flag
    UNKNOWN_FLAG = "K0007";
    /// a flag is given twice
    DUPLICATE_FLAG = "K0008";
    /// a flag lacks its value
    MISSING_FLAG_VALUE = "K0009";
    /// a flag takes only true or false
    BOOLEAN_FLAG = "K0010";
    /// too few or too many arguments
    ARGUMENT_COUNT = "K0011";
    /// a JSON array holds something else than strings
    JSON_NOT_STRINGS = "K0012";
    /// a word is no key=value pair
    NOT_A_PAIR = "K0013";
    /// a name is blank
    BLANK_NAME = "K0014";
    /// a stage name can't be used
    STAGE_NAME = "K0015";
    /// a heredoc without its end
    UNTERMINATED_HEREDOC = "K0016";
    /// a heredoc where none can be
    MISPLACED_HEREDOC = "K0017";
    /// an instruction that can't be an ONBUILD trigger
    ONBUILD_TRIGGER = "K0018";
    /// a health check that can't be understood
    HEALTHCHECK = "K0019";
    /// an unknown network or security mode
    RUN_MODE = "K0020";
    /// a mount that can't be understood
    MOUNT = "K0021";
    /// a port that can't be understood
    PORT = "K0022";
    /// file mode bits that can't be understood
    CHMOD = "K0023";
    /// arguments that must be in JSON form
    JSON_REQUIRED = "K0024";
    /// an unknown signal
    SIGNAL = "K0025";
    /// a word that can't be expanded
    EXPANSION = "K0026";
    /// a stage refers to a later one, to itself, or to none
    STAGE_REFERENCE = "K0027";
    /// a source that COPY can't read
    COPY_SOURCE = "K0028";
    /// a checksum that can't be used
    CHECKSUM = "K0029";
    /// an empty volume path
    EMPTY_VOLUME = "K0030";
    /// a check directive that can't be understood
    CHECK_DIRECTIVE = "K0031";
    /// the file is in the language of another frontend
    FRONTEND = "K0032";
    /// a device that can't be understood
    DEVICE = "K0033";
}

/// The errors in front of which the reference prints `dockerfile parse error on line N:`. It does so for what a single instruction gets
/// wrong; neither for the lines and directives of the file, nor for what stages and variables make of it.
const PARSE_ERRORS: [&str; 16] = [
    UNKNOWN_INSTRUCTION,
    UNKNOWN_FLAG,
    DUPLICATE_FLAG,
    MISSING_FLAG_VALUE,
    BOOLEAN_FLAG,
    ARGUMENT_COUNT,
    BLANK_NAME,
    STAGE_NAME,
    MISPLACED_HEREDOC,
    ONBUILD_TRIGGER,
    HEALTHCHECK,
    RUN_MODE,
    MOUNT,
    JSON_REQUIRED,
    EMPTY_VOLUME,
    DEVICE,
];

/// Whether the reference prints `dockerfile parse error on line N:` in front of this error.
pub fn is_parse_error(code: &str) -> bool {
    PARSE_ERRORS.contains(&code)
}
