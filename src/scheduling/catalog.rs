//! The instance types of one node class as an immutable table with an index from labels to rows.
//!
//! A row is one way to buy one type: a type and one of its offerings, so that a set of requirements is met by *a single* offering or not
//! at all. Rows are in the order of their prices; the first row of a set is the cheapest. A catalogue is built once for each generation
//! of types and prices and shared by all problems until the next; nothing in it depends on pods or pools.

use std::{collections::BTreeMap, sync::Arc};

use super::{amounts, table::RowSet};
use crate::model::{
    instance_type::{InstanceType, Offering},
    label,
    price::Price,
    requirement::{Operator, Requirement},
    requirements::Requirements,
};

mod unmet;

pub use unmet::Unmet;

#[cfg(test)]
mod tests;

/// A type and one of its offerings, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) instance_type: usize,
    offering: usize,
    pub(super) price: Price,
}

/// The rows by what they say about one label.
#[derive(Debug, Clone)]
struct KeyIndex {
    /// Rows whose label has one of a few values, by each of them.
    by_value: BTreeMap<Arc<str>, RowSet>,
    /// Rows without the label.
    absent: RowSet,
    /// Rows that say nothing about the label.
    silent: RowSet,
    /// Rows whose label is described in another way.
    described: Vec<(Requirement, RowSet)>,
    /// Whether every row says exactly what its label is.
    is_settled: bool,
}

impl KeyIndex {
    fn new(rows: usize) -> Self {
        Self {
            by_value: BTreeMap::new(),
            absent: RowSet::none(rows),
            silent: RowSet::all(rows),
            described: Vec::new(),
            is_settled: true,
        }
    }
}

/// Instance types and their offerings, indexed.
#[derive(Debug, Clone)]
pub struct Catalog {
    types: Vec<InstanceType>,
    rows: Vec<Row>,
    /// The rows that can be bought now.
    available: RowSet,
    /// The rows of types that can hold pods at all, in zones in which the node class has a subnet.
    usable: RowSet,
    /// Rows that would be usable, had the node class a subnet there.
    without_subnet: RowSet,
    keys: BTreeMap<Arc<str>, KeyIndex>,
    /// What types leave for pods, by resource, in milli units. Types in the order of `types`.
    allocatable: BTreeMap<String, Vec<i64>>,
}

impl Catalog {
    /// Indexes `types`. Of several with the same name only the first counts.
    #[must_use]
    pub fn new(mut types: Vec<InstanceType>) -> Self {
        types.sort_by(|a, b| a.name.cmp(&b.name));
        types.dedup_by(|a, b| a.name == b.name);
        let mut rows: Vec<(Row, &Offering, &str)> = types
            .iter()
            .enumerate()
            .flat_map(|(i, instance_type)| {
                instance_type.offerings.iter().enumerate().map(move |(j, offering)| {
                    let row = Row { instance_type: i, offering: j, price: offering.price };
                    (row, offering, instance_type.name.as_str())
                })
            })
            .collect();
        rows.sort_by(|(_, a, a_name), (_, b, b_name)| {
            (a.price, a.capacity_type, a_name, &a.zone).cmp(&(b.price, b.capacity_type, b_name, &b.zone))
        });
        let rows: Vec<Row> = rows.into_iter().map(|(row, ..)| row).collect();
        let [mut available, mut usable, mut without_subnet] = [(); 3].map(|()| RowSet::none(rows.len()));
        let mut keys = BTreeMap::new();
        for (number, row) in rows.iter().enumerate() {
            let Some((instance_type, offering)) = parts(&types, *row) else { continue };
            if offering.is_available {
                available.insert(number);
            }
            if instance_type.resources.allocatable().iter().all(|(_, amount)| !amount.is_negative()) {
                // A type can only be where its node class has a subnet, wherever else it is offered.
                let has_subnet = instance_type.requirements.allows(label::ZONE, &offering.zone);
                let rows = if has_subnet { &mut usable } else { &mut without_subnet };
                rows.insert(number);
            }
            for (key, requirement) in labels_of(instance_type, offering) {
                let index = keys.entry(key).or_insert_with(|| KeyIndex::new(rows.len()));
                enter(index, number, rows.len(), requirement);
            }
        }
        for index in keys.values_mut() {
            index.silent = said_nothing(index, rows.len());
            index.is_settled &= index.silent.is_empty() && index.described.is_empty();
        }
        let mut allocatable: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (i, instance_type) in types.iter().enumerate() {
            for (name, amount) in instance_type.resources.allocatable().iter() {
                let column = allocatable.entry(name.to_owned()).or_insert_with(|| vec![0; types.len()]);
                if let Some(cell) = column.get_mut(i) {
                    *cell = amounts::there_is(amount);
                }
            }
        }
        Self { types, rows, available, usable, without_subnet, keys, allocatable }
    }

    /// The types, in the order of their names.
    #[must_use]
    pub fn types(&self) -> &[InstanceType] {
        &self.types
    }

    /// A type by its name.
    #[must_use]
    pub fn instance_type(&self, name: &str) -> Option<&InstanceType> {
        let place = self.types.binary_search_by(|instance_type| instance_type.name.as_str().cmp(name));
        place.ok().and_then(|i| self.types.get(i))
    }

    /// Every row of a type that can hold pods at all, in a zone in which the node class has a subnet.
    pub(super) const fn usable(&self) -> &RowSet {
        &self.usable
    }

    /// The rows that can be bought now.
    pub(super) const fn available(&self) -> &RowSet {
        &self.available
    }

    pub(super) fn row(&self, number: usize) -> Option<Row> {
        self.rows.get(number).copied()
    }

    /// The zone of a row.
    pub(super) fn zone(&self, number: usize) -> Option<&str> {
        parts(&self.types, self.row(number)?).map(|(_, offering)| offering.zone.as_str())
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What types leave for pods of one resource, in milli units; nothing if no type has it.
    pub(super) fn allocatable(&self, resource: &str) -> Option<&[i64]> {
        self.allocatable.get(resource).map(Vec::as_slice)
    }

    /// Whether each row says exactly what this label will be, so that two requirements that one row meets never contradict each
    /// other on it.
    pub(super) fn settles(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|index| index.is_settled)
    }

    /// The rows that meet a requirement. Rows that say nothing about the label do: whether a pool's nodes have it is not their
    /// business.
    pub(super) fn rows_meeting(&self, requirement: &Requirement) -> RowSet {
        if requirement.is_contradiction() {
            return RowSet::none(self.rows.len());
        }
        let Some(index) = self.keys.get(requirement.key()) else { return RowSet::all(self.rows.len()) };
        let mut rows = index.silent.clone();
        if requirement.allows_absence() {
            rows.include(&index.absent);
        }
        for (_, having) in index.by_value.iter().filter(|(value, _)| requirement.has(value)) {
            rows.include(having);
        }
        for (_, having) in
            index.described.iter().filter(|(described, _)| described.is_compatible(requirement))
        {
            rows.include(having);
        }
        rows
    }

    /// The rows that meet every one of these requirements.
    pub(super) fn rows_meeting_all(&self, requirements: &Requirements) -> RowSet {
        requirements.iter().fold(RowSet::all(self.rows.len()), |mut rows, requirement| {
            rows.retain(&self.rows_meeting(requirement));
            rows
        })
    }

    /// Whether `is_it` holds for a type that meets every one of these requirements and can hold pods, be there capacity or not.
    pub fn has_type(&self, requirements: &Requirements, is_it: impl Fn(&InstanceType) -> bool) -> bool {
        let rows = self.rows_meeting_all(requirements).and(&self.usable);
        let mut types = rows.iter().filter_map(|row| self.types.get(self.row(row)?.instance_type));
        types.any(is_it)
    }

    /// What a label is on these rows, as far as they list it.
    pub(super) fn values(&self, key: &str, rows: &RowSet) -> Requirement {
        let values = self.keys.get(key).into_iter().flat_map(|index| &index.by_value);
        let values = values.filter(|(_, having)| !having.and(rows).is_empty());
        Requirement::one_of(key, values.map(|(value, _)| Arc::clone(value)))
    }
}

fn parts(types: &[InstanceType], row: Row) -> Option<(&InstanceType, &Offering)> {
    let instance_type = types.get(row.instance_type)?;
    Some((instance_type, instance_type.offerings.get(row.offering)?))
}

/// What the labels of a node will be that is bought like this. What the offering says is more exact than what the type says.
fn labels_of(instance_type: &InstanceType, offering: &Offering) -> BTreeMap<Arc<str>, Requirement> {
    let of_offering =
        [(label::ZONE, offering.zone.as_str()), (label::CAPACITY_TYPE, offering.capacity_type.name())];
    let further = offering.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let of_offering = of_offering.into_iter().chain(further);
    let of_type = instance_type.requirements.iter().cloned();
    of_type
        .chain(of_offering.map(|(key, value)| Requirement::one_of(key, [value])))
        .map(|requirement| (requirement.shared_key(), requirement))
        .collect()
}

fn enter(index: &mut KeyIndex, row: usize, rows: usize, requirement: Requirement) {
    match (requirement.operator(), requirement.values()) {
        (Operator::In, Some(values)) if !values.is_empty() => {
            index.is_settled &= values.len() == 1;
            for value in values {
                let having = index.by_value.entry(Arc::clone(value)).or_insert_with(|| RowSet::none(rows));
                having.insert(row);
            }
        }
        (Operator::DoesNotExist, _) => index.absent.insert(row),
        _ => {
            let mut having = RowSet::none(rows);
            having.insert(row);
            index.described.push((requirement, having));
        }
    }
}

fn said_nothing(index: &KeyIndex, rows: usize) -> RowSet {
    let mut said = index.absent.clone();
    index.by_value.values().for_each(|having| said.include(having));
    index.described.iter().for_each(|(_, having)| said.include(having));
    (0..rows).filter(|row| !said.contains(*row)).fold(RowSet::none(rows), |mut silent, row| {
        silent.insert(row);
        silent
    })
}
