//! Viaduct.

fn main() {}
