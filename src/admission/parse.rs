//! Reading the objects of a review, and naming them in messages.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Metadata;
use super::reason::Reason;
use super::review::Review;

/// The object as it would be stored. A review without one cannot be judged, and is not let through.
pub(super) fn object<'a, T: Deserialize<'a>>(review: &Review<'a>) -> Result<T, Malformed> {
    let object = review.object.ok_or_else(|| malformed("the review has no object"))?;
    read(object)
}

/// The object as it is stored, if it is.
pub(super) fn old_object<'a, T: Deserialize<'a>>(review: &Review<'a>) -> Result<Option<T>, Malformed> {
    review.old_object.map(read).transpose()
}

fn read<'a, T: Deserialize<'a>>(object: &'a RawValue) -> Result<T, Malformed> {
    serde_json::from_str(object.get()).map_err(malformed)
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
        Some(prefix) => format!("{prefix}*"),
    };
    let given = Some(&*review.name).filter(|name| !name.is_empty()).or(of_object);
    let name = given.map_or_else(generated, str::to_owned);
    let noun = review.kind.noun();
    if review.kind.is_namespaced() && !review.namespace.is_empty() {
        format!("{noun} {}/{name}", review.namespace)
    } else {
        format!("{noun} {name}")
    }
}
