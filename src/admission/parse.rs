//! Reading the objects of a review, and naming them in messages.

use crate::model::text::Excerpt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::from_object;
use super::object::Metadata;
use super::reason::Reason;
use super::review::{Operation, Review};

/// The object as it would be stored. A review without one cannot be judged, and is not let through.
pub(super) fn object<'a, T: Deserialize<'a>>(review: &Review<'a>) -> Result<T, Malformed> {
    read(raw_object(review)?)
}

/// The object as it is stored, if it is.
pub(super) fn old_object<'a, T: Deserialize<'a>>(review: &Review<'a>) -> Result<Option<T>, Malformed> {
    raw_old_object(review)?.map(read).transpose()
}

/// The bytes of the object as it would be stored.
pub(super) fn raw_object<'a>(review: &Review<'a>) -> Result<&'a RawValue, Malformed> {
    review.object.ok_or_else(|| malformed("the review has no object"))
}

/// The bytes of the object as it is stored. An update without it would be judged as if nothing had been admitted before.
pub(super) fn raw_old_object<'a>(review: &Review<'a>) -> Result<Option<&'a RawValue>, Malformed> {
    match (review.operation, review.old_object) {
        (Operation::Create, _) => Ok(None),
        (Operation::Update, None) => Err(malformed("the review of an update has no old object")),
        (_, stored) => Ok(stored),
    }
}

fn read<'a, T: Deserialize<'a>>(object: &'a RawValue) -> Result<T, Malformed> {
    from_object(&mut serde_json::Deserializer::from_str(object.get())).map_err(malformed)
}

/// Why an object cannot be read.
pub(super) struct Malformed(String);

pub(super) fn malformed(problem: impl ToString) -> Malformed {
    Malformed(problem.to_string())
}

impl From<Malformed> for Reason {
    fn from(Malformed(problem): Malformed) -> Self {
        Self::MalformedObject { problem }
    }
}

/// `pod shop/web`; the name of a pod that has none yet is shown by what it starts with.
pub(super) fn object_name(review: &Review<'_>, metadata: Option<&Metadata<'_>>) -> String {
    let of_object = metadata.map(|metadata| &*metadata.name).filter(|name| !name.is_empty());
    let generated = || match metadata.map(|metadata| &*metadata.generate_name) {
        None | Some("") => "(no name)".to_owned(),
        Some(prefix) => format!("{}*", Excerpt(prefix)),
    };
    let given = Some(&*review.name).filter(|name| !name.is_empty()).or(of_object);
    // Admission sees names before the API server has judged them: a long one must not be repeated with every reason.
    let name = given.map_or_else(generated, |name| Excerpt(name).to_string());
    let noun = review.kind.noun();
    if review.kind.is_namespaced() && !review.namespace.is_empty() {
        format!("{noun} {}/{name}", Excerpt(&review.namespace))
    } else {
        format!("{noun} {name}")
    }
}
