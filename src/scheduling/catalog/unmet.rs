//! Which requirements no instance type of a catalogue meets together, be there capacity now or not.

use std::fmt;

use super::Catalog;
use crate::model::{Requirement, Requirements, label, requirements::nearest_key};
use crate::scheduling::table::RowSet;

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
    ///
    /// A requirement that only a subnet is missing for is named where no other is in the way.
    #[must_use]
    pub fn unmet(&self, wanted: &Requirements) -> Option<Unmet> {
        let mut offered = self.usable.clone();
        offered.include(&self.without_subnet);
        let wherever_offered = self.unmet_by(wanted, &offered);
        wherever_offered.or_else(|| self.unmet_by(wanted, &self.usable))
    }

    /// What of `wanted` is in the way of each of these rows.
    fn unmet_by(&self, wanted: &Requirements, of: &RowSet) -> Option<Unmet> {
        let mut rows: Vec<_> =
            wanted.iter().map(|requirement| (requirement, self.rows_meeting(requirement))).collect();
        let meets_none = |rows: &[(&Requirement, _)], without: Option<usize>| {
            let others = rows.iter().enumerate().filter(|(index, _)| Some(*index) != without);
            let left = others.fold(of.clone(), |left, (_, (_, rows))| left.and(rows));
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
            [(only, _)] => self.nearest(only, of),
            _ => None,
        };
        Some(Unmet {
            requirements: rows.into_iter().map(|(requirement, _)| requirement.clone()).collect(),
            nearest,
        })
    }

    /// The zones in which instance types that will do are offered, if nothing but a subnet of the node class is missing there.
    #[must_use]
    pub fn without_subnet(&self, wanted: &Requirements) -> Option<Requirement> {
        let rows = self.rows_meeting_all(wanted);
        let lacking = rows.and(&self.without_subnet);
        (rows.and(&self.usable).is_empty() && !lacking.is_empty()).then(|| self.values(label::ZONE, &lacking))
    }

    fn nearest(&self, requirement: &Requirement, of: &RowSet) -> Option<String> {
        let known = self.values(requirement.key(), of);
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
