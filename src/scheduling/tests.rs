use expect_test::{Expect, expect};

use super::testing::{check, problem, solved};

mod behaviour;
mod properties;
