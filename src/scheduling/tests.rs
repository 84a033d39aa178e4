use expect_test::{Expect, expect};

use super::testing::{check, problem, solved};

mod behaviour;
mod properties;
mod reasons;

/// A pool that is open to all, and one line after the other.
#[track_caller]
fn check_general(lines: &str, expected: &Expect) {
    check(&format!("pool general types=c7i.*\n{lines}"), expected);
}
