//! Collecting what nothing reaches, and measuring what there is.
//!
//! Roots are the marked and tagged images, pins, cache records, and the leases of live processes. From an image everything
//! is reached that its documents name: manifests, configurations, layers as content and as directories; from a layer the
//! compressed content made of it. A chain stays as long as all its layers do.
//!
//! A collection decides first, without disturbing anybody, which images and records go. Then it closes the gate, reads the
//! roots again (a process may have started to use something), moves what is not reached into `tmp/`, and opens the gate. The
//! slow part, deleting, comes after that; were the process killed there, the next one sweeps.

mod descent;
pub(crate) mod inventory;
pub(crate) mod prune;
pub(crate) mod size;
pub(crate) mod usage;
