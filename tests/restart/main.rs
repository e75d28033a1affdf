//! The real program as it ends and as another takes its place: what it tells others, what goes on, and what is lost, which is nothing.

mod drain;
mod failed_upgrade;
mod load;
mod meeting;
mod orphaned;
mod sip;
mod upgrade;
mod viaduct;
