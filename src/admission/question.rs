//! What is asked: a review, by which webhook, and what the caller knows beside it.

use jiff::Timestamp;

use super::review::Review;
use super::standing::NamespaceLabels;

/// Which of the two webhooks asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mutate`: may change the object, and refuses what no later step of the same request can repair.
    Mutate,
    /// `/validate`: judges the object as it would be stored.
    Validate,
}

/// What is to be decided, and what the caller knows about it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which webhook asks.
    pub endpoint: Endpoint,
    /// What the API server sent.
    pub review: &'a Review<'a>,
    /// The labels of the request's namespace. Looked at for namespaced kinds only.
    pub namespace: NamespaceLabels<'a>,
    /// The moment.
    pub now: Timestamp,
}
