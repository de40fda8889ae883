//! Kinds of registries, as data. Limits that are gigabytes in the world are kilobytes here, so that small images meet them.

/// What one kind of registry does.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub login: Login,
    pub mounts: Mounts,
    pub whole: Whole,
    pub patches: Patches,
    pub position: Position,
    pub location: Location,
    pub storage: Storage,
    /// The digest that answers name.
    pub digests: Digests,
    /// Whether an upload can be asked how far it is, and goes on after a broken request.
    pub resumes: bool,
    /// What a cancelled upload answers.
    pub cancel: u16,
    /// Whether manifests of docker's own types are taken.
    pub docker_types: bool,
    /// Headers of every manifest that is read.
    pub manifest_headers: &'static [(&'static str, &'static str)],
}

/// Who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Everybody may do everything.
    Open,
    /// User `user` with the password `pass`; the scheme as it spells it.
    Basic(&'static str),
    /// Tokens from `/token`: the field that holds them, the answer to a POST (200 means that it works), and whether only the first scope counts.
    Token {
        field: &'static str,
        post: u16,
        one_scope: bool,
    },
}

/// What becomes of a request to mount a blob that another repository has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// It is mounted; from its own repository too.
    Work,
    /// An upload begins all the same.
    Ignored,
    /// An error.
    Refused(u16),
}

/// A blob in one PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What it answers instead of taking it.
    pub refused: Option<u16>,
    /// Bytes above which it answers 413.
    pub most: Option<usize>,
}

/// A blob in PATCH requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    /// The most of them in one upload; 0 answers 405, more than allowed 416.
    pub count: usize,
    /// Bytes above which one answers 416.
    pub most: Option<usize>,
    /// Bytes below which one that is not the last answers 400; announced when the upload begins.
    pub least: Option<usize>,
    pub status: u16,
}

/// What `Range` says after a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    True,
    /// It stays where the first one ended.
    Stale,
    Missing,
}

/// The address of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// `/v2/...`, the same all the time.
    Path,
    /// `/v2/...?_state=`: only the newest one is good.
    PathWithState,
    /// A whole URL.
    Url,
    /// Only the last part, relative to the request.
    Relative,
    /// On another host, signed; it refuses credentials.
    Foreign,
}

/// Where blobs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// At the registry; with ranges or without.
    Own { ranges: bool },
    /// At a path that a redirect names.
    RedirectPath,
    /// On another host, signed; it refuses credentials.
    RedirectHost,
}

/// `Docker-Content-Digest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests {
    Sent,
    Missing,
    Empty,
}

const fn token(field: &'static str, post: u16) -> Login {
    Login::Token {
        field,
        post,
        one_scope: false,
    }
}

const MANY: Patches = Patches {
    count: usize::MAX,
    most: None,
    least: None,
    status: 202,
};

const TAKEN: Whole = Whole {
    refused: None,
    most: None,
};

/// Debian's registry (distribution v2): the newest location only, nothing left after a broken request.
pub const DISTRIBUTION_2: Profile = Profile {
    name: "distribution v2",
    login: Login::Open,
    mounts: Mounts::Work,
    whole: TAKEN,
    patches: MANY,
    position: Position::True,
    location: Location::PathWithState,
    storage: Storage::Own { ranges: true },
    digests: Digests::Sent,
    resumes: false,
    cancel: 204,
    docker_types: true,
    manifest_headers: &[],
};

/// Distribution v3: uploads go on where they broke.
pub const DISTRIBUTION_3: Profile = Profile {
    name: "distribution v3",
    resumes: true,
    ..DISTRIBUTION_2
};

pub const DOCKER_HUB: Profile = Profile {
    name: "Docker Hub",
    login: token("token", 200),
    mounts: Mounts::Work,
    location: Location::Url,
    storage: Storage::RedirectHost,
    manifest_headers: &[
        ("ratelimit-limit", "100;w=21600"),
        ("ratelimit-remaining", "76;w=21600"),
    ],
    cancel: 405,
    ..DISTRIBUTION_2
};

pub const GHCR: Profile = Profile {
    name: "GHCR",
    login: token("token", 404),
    patches: Patches {
        most: Some(1 << 20),
        ..MANY
    },
    location: Location::Path,
    storage: Storage::RedirectHost,
    ..DISTRIBUTION_2
};

pub const ECR: Profile = Profile {
    name: "ECR",
    login: Login::Basic("Basic"),
    mounts: Mounts::Ignored,
    patches: Patches {
        least: Some(512 << 10),
        status: 201,
        ..MANY
    },
    position: Position::Stale,
    location: Location::Url,
    storage: Storage::RedirectHost,
    digests: Digests::Empty,
    cancel: 405,
    ..DISTRIBUTION_2
};

pub const GAR: Profile = Profile {
    name: "GAR",
    login: token("token", 404),
    mounts: Mounts::Work,
    patches: Patches { count: 1, ..MANY },
    location: Location::Foreign,
    storage: Storage::RedirectPath,
    ..DISTRIBUTION_2
};

pub const ACR: Profile = Profile {
    name: "ACR",
    login: token("access_token", 400),
    whole: Whole {
        refused: None,
        most: Some(1 << 20),
    },
    storage: Storage::RedirectHost,
    resumes: true,
    ..DISTRIBUTION_2
};

pub const QUAY: Profile = Profile {
    name: "Quay",
    login: token("token", 405),
    mounts: Mounts::Ignored,
    location: Location::Url,
    storage: Storage::RedirectHost,
    cancel: 401,
    ..DISTRIBUTION_2
};

pub const GITLAB: Profile = Profile {
    name: "GitLab",
    login: Login::Token {
        field: "token",
        post: 404,
        one_scope: true,
    },
    ..DISTRIBUTION_3
};

pub const ARTIFACTORY: Profile = Profile {
    name: "Artifactory",
    login: token("token", 401),
    mounts: Mounts::Ignored,
    whole: Whole {
        refused: Some(405),
        most: None,
    },
    location: Location::Relative,
    storage: Storage::Own { ranges: false },
    position: Position::Missing,
    ..DISTRIBUTION_2
};

pub const NEXUS: Profile = Profile {
    name: "Nexus",
    login: Login::Basic("BASIC"),
    mounts: Mounts::Refused(400),
    location: Location::Path,
    digests: Digests::Missing,
    ..DISTRIBUTION_2
};

pub const HARBOR: Profile = Profile {
    name: "Harbor",
    login: token("token", 404),
    ..DISTRIBUTION_2
};

pub const ZOT: Profile = Profile {
    name: "zot",
    login: Login::Basic("Basic"),
    mounts: Mounts::Work,
    location: Location::Path,
    docker_types: false,
    resumes: true,
    ..DISTRIBUTION_2
};

/// All kinds.
pub const PROFILES: [Profile; 13] = [
    DOCKER_HUB,
    GHCR,
    ECR,
    GAR,
    ACR,
    QUAY,
    GITLAB,
    ARTIFACTORY,
    NEXUS,
    HARBOR,
    ZOT,
    DISTRIBUTION_2,
    DISTRIBUTION_3,
];
