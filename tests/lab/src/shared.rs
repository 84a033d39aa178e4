//! One lab for all tests of an executable: starting it takes seconds, and most tests only add objects to it.

use std::sync::LazyLock;

use tokio::runtime::Runtime;

use crate::lab::Lab;
use crate::users::User;

/// The lab, or why there is none: every test is to say that, and not only the first.
static SHARED: LazyLock<Result<Shared, String>> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime can be made where tests run");
    let lab = runtime.block_on(Lab::start(&[User::named("alice")]));
    lab.map(|lab| Shared { runtime, lab }).map_err(|error| format!("{error:#}"))
});

struct Shared {
    runtime: Runtime,
    lab: Lab,
}

/// Runs a test on the shared lab, which is started by the first one and goes with the process.
///
/// Tests run at once: each uses names and namespaces of its own.
///
/// # Panics
///
/// When the lab could not be started, and says why.
#[expect(clippy::panic, reason = "a test without its lab can only fail, and should say why")]
pub fn on_lab<T>(test: impl AsyncFnOnce(&'static Lab) -> T) -> T {
    let shared = SHARED.as_ref();
    let shared = shared.unwrap_or_else(|why| panic!("start the lab that the tests share: {why}"));
    shared.runtime.block_on(test(&shared.lab))
}
