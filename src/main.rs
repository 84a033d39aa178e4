//! The `treenail` program.

fn main() {}
