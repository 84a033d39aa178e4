//! Which requirements no instance type of a catalogue meets together, be there capacity now or not.

use std::fmt;

use super::Catalog;
use crate::model::{Requirement, Requirements, label, requirements::nearest_key};

/// Requirements that no way to buy an instance meets together, as few as say so: without any of them, some way does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The requirements. None, if there is no instance type at all.
    pub requirements: Requirements,
    /// A value that does exist and is spelt much like the one that is asked for, if a single requirement is in the way.
    pub nearest: Option<String>,
}

impl Catalog {
    /// What of `wanted` is in the way of every instance type that can hold pods; nothing, if one of them will do.
    #[must_use]
    pub fn unmet(&self, wanted: &Requirements) -> Option<Unmet> {
        let mut rows: Vec<_> =
            wanted.iter().map(|requirement| (requirement, self.rows_meeting(requirement))).collect();
        let meets_none = |rows: &[(&Requirement, _)], without: Option<usize>| {
            let others = rows.iter().enumerate().filter(|(index, _)| Some(*index) != without);
            let left = others.fold(self.usable.clone(), |left, (_, (_, rows))| left.and(rows));
            left.is_empty()
        };
        if !meets_none(&rows, None) {
            return None;
        }
        let mut index = 0;
        while index < rows.len() {
            if meets_none(&rows, Some(index)) {
                rows.remove(index);
            } else {
                index += 1;
            }
        }
        let nearest = match rows.as_slice() {
            [(only, _)] => self.nearest(only),
            _ => None,
        };
        Some(Unmet {
            requirements: rows.into_iter().map(|(requirement, _)| requirement.clone()).collect(),
            nearest,
        })
    }

    /// The zones that are asked for, if nothing but a subnet of the node class is missing there.
    #[must_use]
    pub fn without_subnet<'r>(&self, wanted: &'r Requirements) -> Option<&'r Requirement> {
        let zones = wanted.get(label::ZONE)?;
        let rows = self.rows_meeting_all(wanted);
        (rows.and(&self.usable).is_empty() && !rows.and(&self.without_subnet).is_empty()).then_some(zones)
    }

    fn nearest(&self, requirement: &Requirement) -> Option<String> {
        let known = self.values(requirement.key(), &self.usable);
        let known = || known.values().into_iter().flatten().map(|value| &**value);
        requirement.values()?.iter().find_map(|value| nearest_key(value, known())).map(str::to_owned)
    }
}

/// `no instance type has a In [b] (did you mean c?)`.
impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requirements.is_empty() {
            return f.write_str("there is no instance type");
        }
        f.write_str("no instance type has ")?;
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { " and " })?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, " (did you mean {nearest}?)")?;
        }
        Ok(())
    }
}
