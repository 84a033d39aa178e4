//! What goes wrong on purpose between a caller and the EC2 endpoint.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine};
use tokio::sync::watch;

use crate::wait;

type Rewrite = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The faults in force.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<Vec<(u64, Fault)>>>);

#[derive(Clone)]
enum Fault {
    /// Answers of this action are kept back once their effect took place.
    Hold { action: String, state: watch::Sender<Held> },
    /// Calls of this action get this error, and have no effect.
    Refuse { action: String, code: String },
    /// User data is other than what was given.
    RewriteUserData(Rewrite),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Answers that were kept back.
    answers: usize,
    released: bool,
}

/// A fault in force until this value goes.
#[derive(Debug)]
pub struct InForce {
    faults: Faults,
    id: u64,
    held: Option<watch::Sender<Held>>,
}

impl InForce {
    /// Waits until the answer to a call is being kept back: its effect took place.
    pub async fn holds_an_answer(&self) -> Result<()> {
        if let Some(held) = &self.held {
            let mut held = held.subscribe();
            // The sender lives in `self`, so the channel cannot close.
            let wait = async { held.wait_for(|held| held.answers > 0).await.map(drop) };
            wait::patiently("a call comes whose answer is kept back", wait).await??;
        }
        Ok(())
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        self.faults.lock().retain(|(id, _)| *id != self.id);
        if let Some(held) = &self.held {
            held.send_modify(|held| held.released = true);
        }
    }
}

impl Faults {
    pub(super) fn hold_answers(&self, action: &str) -> InForce {
        let state = watch::Sender::new(Held::default());
        let held = Some(state.clone());
        self.put(Fault::Hold { action: action.to_owned(), state }, held)
    }

    pub(super) fn refuse(&self, action: &str, code: &str) -> InForce {
        self.put(Fault::Refuse { action: action.to_owned(), code: code.to_owned() }, None)
    }

    pub(super) fn rewrite_user_data(&self, rewrite: Rewrite) -> InForce {
        self.put(Fault::RewriteUserData(rewrite), None)
    }

    /// The code of the error that this action gets instead of being carried out.
    pub(super) fn refusal(&self, action: &str) -> Option<String> {
        self.lock().iter().find_map(|(_, fault)| match fault {
            Fault::Refuse { action: refused, code } if refused == action => Some(code.clone()),
            _ => None,
        })
    }

    /// Keeps the answer of this action back for as long as a fault says so.
    pub(super) async fn keep_back(&self, action: &str) {
        let holding = self.lock().iter().find_map(|(_, fault)| match fault {
            Fault::Hold { action: held, state } if held == action => Some(state.clone()),
            _ => None,
        });
        if let Some(state) = holding {
            state.send_modify(|held| held.answers += 1);
            let _ = state.subscribe().wait_for(|held| held.released).await;
        }
    }

    /// The answer to `DescribeInstanceAttribute` with the user data that the caller shall see.
    pub(super) fn rewritten(&self, answer: &str) -> Option<String> {
        let rewrite = |(_, fault): &(u64, Fault)| match fault {
            Fault::RewriteUserData(rewrite) => Some(Arc::clone(rewrite)),
            Fault::Hold { .. } | Fault::Refuse { .. } => None,
        };
        let rewrites: Vec<_> = self.lock().iter().filter_map(rewrite).collect();
        if rewrites.is_empty() {
            return None;
        }
        let (before, rest) = answer.split_once("<userData>")?;
        let (start, rest) = rest.split_once("<value>")?;
        let (value, after) = rest.split_once("</value>")?;
        let user_data = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
        let value = rewrites.iter().fold(user_data, |user_data, rewrite| rewrite(&user_data));
        let value = BASE64_STANDARD.encode(value);
        Some(format!("{before}<userData>{start}<value>{value}</value>{after}"))
    }

    fn put(&self, fault: Fault, held: Option<watch::Sender<Held>>) -> InForce {
        let mut faults = self.lock();
        let id = faults.last().map_or(0, |(id, _)| id + 1);
        faults.push((id, fault));
        InForce { faults: self.clone(), id, held }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Faults").field("in_force", &self.lock().len()).finish()
    }
}
