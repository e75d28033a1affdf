//! What the real program tells of single messages: problems, in its log.

mod log;
mod viaduct;
