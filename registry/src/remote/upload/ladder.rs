//! Which way a blob goes, and the next one when it does not get through.
//!
//! ```text
//! whole PUT --404 405 411 416--> one streamed PATCH + PUT --413 416, cut--> PATCH in pieces + PUT, each smaller than the last
//!     \-----------------413, cut twice----------------------------------------^
//! ```
//!
//! A transfer that breaks goes on where the registry says it is, if it says so, and begins again otherwise. Attempts are counted only while nothing
//! moves. The way that worked after a refusal is remembered for the host.

use reqwest::StatusCode;

use crate::content::{BlobUpload, Placed};
use crate::error::{Error, Result};
use crate::host::UploadWay;

use super::feed::Feed;
use super::session::{Session, refuses_way};
use super::{Begun, RemoteRepository};

/// Pieces are not made smaller than this: no known limit is lower, and each costs a request.
const LEAST_CHUNK: u64 = 1 << 20;

/// How much smaller the next pieces are when some were too large.
const SHRINK: u64 = 4;

/// Connections that break without an answer before that is taken for a limit on the size of a request.
const CUTS: u32 = 2;

/// One upload on its way.
struct Climb {
    way: UploadWay,
    /// Refused by an answer: worth remembering.
    refused: bool,
    /// Connections that broke in this way.
    cuts: u32,
    /// Attempts in a row that moved nothing.
    fruitless: u32,
}

/// What follows a failed attempt.
enum Next {
    /// Another way, at once.
    Other,
    /// The same, after a while.
    Same,
    /// Nothing.
    End,
}

impl RemoteRepository {
    /// Sends the bytes, as often and in as many ways as it takes.
    pub(super) async fn fill(&self, begun: Begun, upload: &BlobUpload) -> Result<Placed> {
        let Begun::Session(mut session) = begun else {
            return Ok(Placed::Present);
        };
        let place = self.host.transport().upload_place(&session.location).await;
        let feed = Feed::new(upload.source.clone());
        let mut climb = Climb {
            way: self.host.upload_way(),
            refused: false,
            cuts: 0,
            fruitless: 0,
        };
        loop {
            let before = session.acknowledged;
            let sent = self.send_by(climb.way, &mut session, upload, &feed).await;
            let Err(error) = sent else {
                if let Some(place) = place {
                    place.went_well();
                }
                if climb.refused {
                    self.host.saw_upload_way(climb.way).await;
                }
                return Ok(Placed::Sent);
            };
            if self.arrived_all_the_same(&error, upload).await {
                return Ok(Placed::Sent);
            }
            self.explain(&error, climb.way, upload);
            let resumed =
                self.may_go_on(&error) && self.ask(&mut session, upload.descriptor.size).await;
            climb.fruitless = if session.acknowledged > before {
                0
            } else {
                climb.fruitless + 1
            };
            if climb.fruitless >= self.host.transport().options().attempts {
                return Err(error);
            }
            match self.next_way(&mut climb, &error, upload, session.least) {
                Next::End => return Err(error),
                Next::Other => {}
                Next::Same => {
                    let wait = self.host.transport().backoff().wait(climb.fruitless.max(1));
                    tokio::time::sleep(wait).await;
                }
            }
            if resumed {
                continue;
            }
            self.cancel(session).await;
            session = match self.begin(&upload.descriptor.digest, None).await? {
                Begun::Session(session) => session,
                Begun::Mounted => return Ok(Placed::Present),
            };
        }
    }

    async fn send_by(
        &self,
        way: UploadWay,
        session: &mut Session,
        upload: &BlobUpload,
        feed: &Feed,
    ) -> Result<()> {
        match way {
            UploadWay::Put if session.acknowledged == 0 => {
                self.put_whole(session, upload, feed).await
            }
            UploadWay::Put | UploadWay::Stream => {
                self.put_pieces(session, upload, feed, u64::MAX).await
            }
            UploadWay::Chunks(size) => self.put_pieces(session, upload, feed, size).await,
        }
    }

    /// Whether the upload may be where it broke off.
    fn may_go_on(&self, error: &Error) -> bool {
        error.is_transient() || error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE)
    }

    /// After an answer that was lost: the blob may be there.
    async fn arrived_all_the_same(&self, error: &Error, upload: &BlobUpload) -> bool {
        let lost = matches!(
            error,
            Error::Network {
                before_send: false,
                ..
            } | Error::Timeout { .. }
        );
        lost && self.head_blob(&upload.descriptor).await.unwrap_or(false)
    }

    /// Chooses the way of the next attempt. An error that no way mends is the end.
    fn next_way(&self, climb: &mut Climb, error: &Error, upload: &BlobUpload, least: u64) -> Next {
        let refused = refuses_way(error);
        if !refused && !error.is_transient() {
            return Next::End;
        }
        climb.cuts += u32::from(matches!(error, Error::Network { .. }));
        let cut = climb.cuts >= CUTS;
        if !refused && !cut {
            return Next::Same;
        }
        let profile = self.host.profile();
        let size = upload.descriptor.size;
        let too_large = cut || error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE);
        // As large as the blob, a piece would be refused as well.
        let pieces = UploadWay::Chunks(profile.chunk.min((size / SHRINK).max(LEAST_CHUNK)));
        let next = match climb.way {
            UploadWay::Put if too_large && profile.chunks => Some(pieces),
            UploadWay::Put => Some(UploadWay::Stream),
            UploadWay::Stream if profile.chunks => Some(pieces),
            UploadWay::Stream => None,
            // Smaller than the blob and still refused, so smaller again.
            UploadWay::Chunks(large) => {
                let smaller = (large.min(size) / SHRINK).max(LEAST_CHUNK).max(least);
                (smaller < large.min(size)).then_some(UploadWay::Chunks(smaller))
            }
        };
        match next {
            Some(next) => {
                climb.way = next;
                climb.refused |= refused;
                // Another way is another chance.
                (climb.cuts, climb.fruitless) = (0, 0);
                Next::Other
            }
            None if refused => Next::End,
            None => Next::Same,
        }
    }

    fn explain(&self, error: &Error, way: UploadWay, upload: &BlobUpload) {
        self.host.transport().explain(|| {
            format!(
                "upload of {} by {way} did not get through: {error}",
                upload.descriptor.digest
            )
        });
    }
}
