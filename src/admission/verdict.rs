//! What is answered. How it travels (patch in base64, status 403, headers) is the server's business.

use std::collections::BTreeMap;

use json_patch::Patch;

use super::reason::{Denial, Reason};
use super::warning::Warning;

/// The most problems that one answer spells out.
const SHOWN: usize = 10;

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What to change about the object; never together with denials, and only from the mutating webhook.
    pub patch: Option<Patch>,
    /// Every reason to refuse; none means that the object is admitted.
    pub denials: Vec<Denial>,
    /// The corrected part of the object in YAML, where something can be corrected.
    pub advice: Option<String>,
    /// What the person is told besides, each one line.
    pub warnings: Vec<String>,
    /// What the audit log says about the request. Keys have no slash.
    pub audit: BTreeMap<&'static str, String>,
}

impl Verdict {
    /// Whether the object is admitted.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.denials.is_empty()
    }

    /// What the person reads who is refused: one line for each problem, its code first, then the correction. Empty if nothing is refused.
    #[must_use]
    pub fn message(&self) -> String {
        let mut lines: Vec<_> = self.denials.iter().take(SHOWN).map(ToString::to_string).collect();
        if let more @ 1.. = self.denials.len().saturating_sub(SHOWN) {
            lines.push(format!("and {more} more problems"));
        }
        if let Some(advice) = &self.advice {
            lines.push(format!("This would be right:\n{}", advice.trim_end()));
        }
        lines.join("\n")
    }

    /// The codes of the reasons to refuse, each once, in the order of the message.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<_> = Vec::new();
        for code in self.denials.iter().map(|denial| denial.reason.code()) {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// Refuses the object for these reasons; admits it if there is none.
    pub(super) fn refuse(object: String, reasons: Vec<Reason>) -> Self {
        let denials = reasons.into_iter().map(|reason| Denial { object: object.clone(), reason });
        let mut verdict = Self { denials: denials.collect(), ..Self::default() };
        if !verdict.is_allowed() {
            verdict.audit.insert("refused", verdict.codes().join(","));
        }
        verdict
    }

    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        self.warnings.extend(warnings.into_iter().map(|warning| warning.to_string()));
    }
}
