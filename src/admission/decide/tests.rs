//! Decisions as a whole: the attack list, legitimate use, and what holds for every request.

mod attacks;
mod isolation;
mod legitimate_use;
mod robustness;
