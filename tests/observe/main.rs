//! What the real program tells of single messages: problems, in its log, and copies, to a collector.

mod collector;
mod hep;
mod kamailio;
mod log;
mod reload;
mod viaduct;
