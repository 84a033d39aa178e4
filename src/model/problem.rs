//! What is wrong with one field of an object that a person wrote.
//!
//! One sentence for people, with the field's path. Who is told, and whether anything is refused, is decided elsewhere.

use std::fmt;

use super::text::Excerpt;

/// What is wrong with one field, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// JSON path of the field, for example `spec.pools[1].name`.
    pub path: String,
    /// What is wrong, and what to do instead.
    pub text: String,
}

impl Problem {
    /// A problem of the field.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// `path: text`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Excerpt(&self.path), self.text)
    }
}
