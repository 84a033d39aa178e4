//! Answers of the API server as the text that a client takes them for.
//!
//! JSON is UTF-8, and what the API server writes itself is. The names in `managedFields`, however, it passes on byte by byte as their writer sent
//! them, and kube takes no list and no event in which a single byte is not UTF-8. Such bytes become U+FFFD here, as everywhere else in the answer.

use std::str::from_utf8;

use http_body_util::BodyExt;
use http_body_util::combinators::MapFrame;
use hyper::Response;
use hyper::body::{Body, Bytes, Frame};

/// What becomes of a part of a body.
pub(super) type Repair = Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send>;

/// The answer with a body of UTF-8, whatever it is.
pub(super) fn repaired<B: Body<Data = Bytes>>(answer: Response<B>) -> Response<MapFrame<B, Repair>> {
    let mut held = Vec::new();
    let repair: Repair = Box::new(move |frame| frame.map_data(|part| repair(&mut held, part)));
    answer.map(|body| body.map_frame(repair))
}

/// A character may begin in one part and end in the next: its beginning is held back until then. A body that ends so is cut off, and no JSON
/// anyway.
fn repair(held: &mut Vec<u8>, part: Bytes) -> Bytes {
    if held.is_empty() && from_utf8(&part).is_ok() {
        return part;
    }
    held.extend_from_slice(&part);
    let mut whole = held.len();
    if let Some(last) = held.utf8_chunks().last().filter(|last| !last.invalid().is_empty()) {
        let end = last.invalid();
        if from_utf8(end).is_err_and(|error| error.error_len().is_none()) {
            whole -= end.len();
        }
    }
    let rest = held.split_off(whole);
    let text = String::from_utf8_lossy(held).into_owned();
    *held = rest;
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that comes of a body in parts of this length.
    fn in_parts(body: &[u8], length: usize) -> String {
        let mut held = Vec::new();
        let parts = body.chunks(length).map(|part| repair(&mut held, Bytes::copy_from_slice(part)));
        String::from_utf8(parts.flatten().collect()).unwrap()
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_what_is_stays_however_it_is_cut() {
        let body = b"a\xffb \xe2\x82\xac \xf0\x9f\x8c\xb2 \xe2\x82\xff \xc3\xa4 \xf0\x9f} ";
        for length in 1..=body.len() {
            assert_eq!(in_parts(body, length), String::from_utf8_lossy(body), "{length}");
        }
    }

    #[test]
    fn what_is_utf8_is_passed_on_as_it_is() {
        let part = Bytes::from("ä".repeat(100));
        assert_eq!(repair(&mut Vec::new(), part.clone()).as_ptr(), part.as_ptr());
    }
}
