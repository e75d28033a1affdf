//! How a Call-ID becomes a backend, and what may change that choice: the fleet's secret, the backends' names and
//! their weights. Nothing else does: not the order in which they are written, not their addresses, not time.
//!
//! | module | charge |
//! | --- | --- |
//! | [`key`] | the frozen keyed hash, with published vectors |
//! | [`backend`] | one member of the pool: its name, address, weight |
//! | [`pool`] | all members, and who owns an address |
//! | [`past`] | who owned each part of the key space before |
//! | [`roster`] | the pool as it stands at one moment |
//! | [`slots`] | where each backend's figures are counted, while the pool changes |
//! | [`standing`] | whether new calls go to a member, and whether those that it has stay |
//! | [`table`] | weighted rendezvous, laid out as a look-up table |

pub mod backend;
pub mod key;
pub mod past;
pub mod pool;
pub mod roster;
pub mod slots;
pub mod standing;
pub mod table;
