//! Messages in streams, however they are cut.

mod cuts;
mod faults;
mod resources;
mod support;
