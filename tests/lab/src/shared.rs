//! One lab for all tests of an executable: starting it takes seconds, and most tests only add objects to it.

use std::sync::LazyLock;

use tokio::runtime::Runtime;

use crate::lab::Lab;
use crate::users::User;

#[expect(clippy::panic, reason = "a test executable without its lab can only fail, and should say why")]
static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime can be made where tests run");
    let lab = runtime.block_on(Lab::start(&[User::named("alice")]));
    let lab = lab.unwrap_or_else(|error| panic!("start the lab that the tests share: {error:#}"));
    Shared { runtime, lab }
});

struct Shared {
    runtime: Runtime,
    lab: Lab,
}

/// Runs a test on the shared lab, which is started by the first one and goes with the process.
///
/// Tests run at once: each uses names and namespaces of its own.
pub fn on_lab<T>(test: impl AsyncFnOnce(&'static Lab) -> T) -> T {
    let shared = &*SHARED;
    shared.runtime.block_on(test(&shared.lab))
}
