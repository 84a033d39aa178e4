//! What integration tests stand on.

pub(crate) mod claims;
pub(crate) mod cluster;
pub(crate) mod load;
pub(crate) mod world;

/// A line for whoever runs the tests, shown also when the test passes: a figure that was measured, or what was skipped.
pub(crate) fn tell(line: &str) {
    use std::io::Write;
    // Unlike `println!` this is not kept back until a test fails. Nothing is left to be done if nobody can be told.
    let _ = writeln!(std::io::stderr(), "{line}");
}
