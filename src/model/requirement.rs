//! What one label of a node may be: a set of values or the complement of one, optionally between two integers.
//!
//! This is Karpenter's requirement algebra with one addition that Kubernetes' matching asks for: a requirement also knows
//! whether a node *without* the label will do. `In`, `Exists` and the comparisons need the label, `NotIn` and `DoesNotExist`
//! do not. For single operators this changes nothing. For combinations it keeps "no value is left" (`In [a]` and `In [b]`) apart from
//! "the label must be absent"; taking the first for the second would launch nodes that the pod can never run on.
//!
//! Results are deterministic: [`Requirement::any`] returns the smallest value that will do, where Karpenter picks at random. How
//! the requirements of several keys relate is found in [`super::requirements`].

use std::{collections::BTreeSet, fmt, mem, sync::Arc};

use super::{label, text::Excerpt};

#[cfg(test)]
mod tests;

/// The most values that a requirement shows before it counts the rest.
const VALUES_SHOWN: usize = 5;

/// The operators of node affinity and of `NodePool` requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    /// The label is present, with any value.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is an integer above the value.
    Gt,
    /// The label is an integer below the value.
    Lt,
    /// The label is an integer not below the value.
    Gte,
    /// The label is an integer not above the value.
    Lte,
}

impl Operator {
    const ALL: [Self; 8] =
        [Self::In, Self::NotIn, Self::Exists, Self::DoesNotExist, Self::Gt, Self::Lt, Self::Gte, Self::Lte];

    /// The operator as the API writes it; spelling and case must be exact.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }

    /// The operator's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
            Self::Gt => "Gt",
            Self::Lt => "Lt",
            Self::Gte => "Gte",
            Self::Lte => "Lte",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One entry of a list of requirements, as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequirementEntry {
    /// The label's key.
    pub key: String,
    /// The operator.
    pub operator: Operator,
    /// The values; none for `Exists` and `DoesNotExist`, one integer for the comparisons.
    pub values: Vec<String>,
    /// How many distinct values the instance types must offer at least.
    pub min_values: Option<u32>,
}

/// What one label of a node may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    key: Arc<str>,
    /// Whether `values` are those that are excluded.
    complement: bool,
    values: BTreeSet<Arc<str>>,
    /// Bounds stand beside a complement only; a concrete set has been filtered by them.
    gte: Option<i64>,
    lte: Option<i64>,
    /// Whether a node without the label will do.
    absence: bool,
    min_values: Option<u32>,
}

impl Requirement {
    /// The label must have one of `values`. Without values, no node will do.
    pub fn one_of<V: Into<Arc<str>>>(key: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self { complement: false, values: values.into_iter().map(Into::into).collect(), ..Self::exists(key) }
    }

    /// The label must have none of `values`, and may be absent. Without values this is [`exists`](Self::exists), as in
    /// Karpenter, although Kubernetes would take it for no requirement at all.
    pub fn none_of<V: Into<Arc<str>>>(key: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values: BTreeSet<_> = values.into_iter().map(Into::into).collect();
        Self { absence: !values.is_empty(), values, ..Self::exists(key) }
    }

    /// The label must be present.
    #[must_use]
    pub fn exists(key: &str) -> Self {
        Self {
            key: label::normalized(key).into(),
            complement: true,
            values: BTreeSet::new(),
            gte: None,
            lte: None,
            absence: false,
            min_values: None,
        }
    }

    /// The label must be absent.
    #[must_use]
    pub fn does_not_exist(key: &str) -> Self {
        Self { complement: false, absence: true, ..Self::exists(key) }
    }

    /// The label must be an integer not below `bound`.
    #[must_use]
    pub fn at_least(key: &str, bound: i64) -> Self {
        Self { gte: Some(bound), ..Self::exists(key) }
    }

    /// The label must be an integer not above `bound`.
    #[must_use]
    pub fn at_most(key: &str, bound: i64) -> Self {
        Self { lte: Some(bound), ..Self::exists(key) }
    }

    /// The label must be an integer above `bound`.
    #[must_use]
    pub fn above(key: &str, bound: i64) -> Self {
        bound.checked_add(1).map_or_else(|| Self::nothing(key), |bound| Self::at_least(key, bound))
    }

    /// The label must be an integer below `bound`.
    #[must_use]
    pub fn below(key: &str, bound: i64) -> Self {
        bound.checked_sub(1).map_or_else(|| Self::nothing(key), |bound| Self::at_most(key, bound))
    }

    fn nothing(key: &str) -> Self {
        Self { complement: false, ..Self::exists(key) }
    }

    /// The requirement with a minimum number of distinct values.
    #[must_use]
    pub fn with_min_values(self, min_values: u32) -> Self {
        Self { min_values: Some(min_values), ..self }
    }

    /// Reads one entry of a list of requirements or node selector terms.
    ///
    /// Values beside `Exists` and `DoesNotExist` are ignored, as Karpenter does.
    pub fn parse(key: &str, operator: &str, values: &[String]) -> Result<Self, RequirementError> {
        let Some(known) = Operator::from_name(operator) else {
            return Err(RequirementError::UnknownOperator {
                key: key.to_owned(),
                operator: operator.to_owned(),
            });
        };
        let values_given = || values.iter().map(String::as_str);
        let bound = || match values {
            [value] => value.parse().map_err(|_| RequirementError::NotAnInteger {
                key: key.to_owned(),
                operator: known,
                value: value.clone(),
            }),
            _ => Err(RequirementError::NotOneValue {
                key: key.to_owned(),
                operator: known,
                count: values.len(),
            }),
        };
        Ok(match known {
            Operator::In if values.is_empty() => {
                return Err(RequirementError::NoValues { key: key.to_owned() });
            }
            Operator::In => Self::one_of(key, values_given()),
            Operator::NotIn => Self::none_of(key, values_given()),
            Operator::Exists => Self::exists(key),
            Operator::DoesNotExist => Self::does_not_exist(key),
            Operator::Gt => Self::above(key, bound()?),
            Operator::Lt => Self::below(key, bound()?),
            Operator::Gte => Self::at_least(key, bound()?),
            Operator::Lte => Self::at_most(key, bound()?),
        })
    }

    /// The label's key, normalised.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn shared_key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }

    /// How many distinct values the instance types must offer at least.
    #[must_use]
    pub const fn min_values(&self) -> Option<u32> {
        self.min_values
    }

    /// The operator that describes this requirement best, bounds aside.
    #[must_use]
    pub fn operator(&self) -> Operator {
        match (self.complement, self.values.is_empty()) {
            (true, true) => Operator::Exists,
            (true, false) => Operator::NotIn,
            (false, true) if self.absence => Operator::DoesNotExist,
            (false, _) => Operator::In,
        }
    }

    /// The values that the label may have, in order, if they can be listed.
    #[must_use]
    pub fn values(&self) -> Option<&BTreeSet<Arc<str>>> {
        (!self.complement).then_some(&self.values)
    }

    /// The only value that the label may have, if there is just one and it may not be absent.
    #[must_use]
    pub fn single_value(&self) -> Option<&str> {
        let only = self.values().filter(|values| values.len() == 1 && !self.absence)?;
        only.first().map(|value| &**value)
    }

    /// Whether the label may have this value.
    #[must_use]
    pub fn has(&self, value: &str) -> bool {
        self.values.contains(value) != self.complement && within(value, self.gte, self.lte)
    }

    /// Whether a node without the label will do.
    #[must_use]
    pub const fn allows_absence(&self) -> bool {
        self.absence
    }

    /// Whether no node at all will do: requirements that contradict each other were combined.
    #[must_use]
    pub fn is_contradiction(&self) -> bool {
        !self.absence && !self.complement && self.values.is_empty()
    }

    /// A value that the label may have, for a node that needs one: the first of the listed values, otherwise the smallest
    /// integer from zero on. Nothing if the label must be absent or no such value is found.
    #[must_use]
    pub fn any(&self) -> Option<String> {
        if !self.complement {
            return self.values.first().map(ToString::to_string);
        }
        // One more candidate than there are exclusions is enough to find one that is not excluded.
        let from = self.gte.unwrap_or(0).max(0);
        let to = self.lte.unwrap_or(i64::MAX);
        (from..=to).take(self.values.len() + 1).map(|value| value.to_string()).find(|value| self.has(value))
    }

    /// What satisfies both requirements. The result's `minValues` is the larger of the two.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.narrow(other.clone());
        both
    }

    /// Makes the requirement one that satisfies `other`, too. Only what changes is looked at, so that many in a row take time in proportion
    /// to their values; but every bound that is narrower than before looks at all of them.
    pub(crate) fn narrow(&mut self, other: Self) {
        let bounds = (self.gte.max(other.gte), least(self.lte, other.lte));
        let (mut own, mut added) = (mem::take(&mut self.values), other.values);
        for (values, within_already) in
            [(&mut own, (self.gte, self.lte)), (&mut added, (other.gte, other.lte))]
        {
            if within_already != bounds {
                values.retain(|value| within(value, bounds.0, bounds.1));
            }
        }
        let is_empty = is_empty_range(bounds.0, bounds.1);
        self.values = match (self.complement, other.complement) {
            _ if is_empty => BTreeSet::new(),
            (true, true) => union(own, added),
            (true, false) => without(added, &own),
            (false, true) => without(own, &added),
            (false, false) => common(own, added),
        };
        self.absence &= other.absence;
        self.complement &= other.complement && !is_empty;
        self.min_values = self.min_values.max(other.min_values);
        (self.gte, self.lte) = if self.complement { bounds } else { (None, None) };
    }

    /// Whether it says how large or small the label's integer may be.
    pub(crate) const fn is_bounded(&self) -> bool {
        self.gte.is_some() || self.lte.is_some()
    }

    /// Whether some value satisfies both requirements; the same as an [`intersection`](Self::intersection) with values, without
    /// building one.
    #[must_use]
    pub fn has_intersection(&self, other: &Self) -> bool {
        let gte = self.gte.max(other.gte);
        let lte = least(self.lte, other.lte);
        if is_empty_range(gte, lte) {
            return false;
        }
        let listed = |concrete: &Self, against: &Self| {
            concrete
                .values
                .iter()
                .any(|value| against.values.contains(value) != against.complement && within(value, gte, lte))
        };
        match (self.complement, other.complement) {
            // Even where every integer between the bounds is excluded, "07" is not "7": there is always one more.
            (true, true) => true,
            (false, true) => listed(self, other),
            (false, false) if self.values.len() <= other.values.len() => listed(self, other),
            (true | false, false) => listed(other, self),
        }
    }

    /// Whether some node satisfies both requirements: one with a value that both allow, or one without the label if both do
    /// without it.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        (self.absence && other.absence) || self.has_intersection(other)
    }

    /// The entries that say the same in the API; several, if no single operator does.
    ///
    /// Unlike Karpenter's form, exclusions beside bounds are kept. `Gt` and `Lt` come back as `Gte` and `Lte`. Every entry carries
    /// `minValues`.
    #[must_use]
    pub fn to_entries(&self) -> Vec<RequirementEntry> {
        let entry = |operator, values| RequirementEntry {
            key: self.key.to_string(),
            operator,
            values,
            min_values: self.min_values,
        };
        let mut entries = Vec::new();
        if let Some(gte) = self.gte {
            entries.push(entry(Operator::Gte, vec![gte.to_string()]));
        }
        if let Some(lte) = self.lte {
            entries.push(entry(Operator::Lte, vec![lte.to_string()]));
        }
        if !self.values.is_empty() {
            let operator = if self.complement { Operator::NotIn } else { Operator::In };
            entries.push(entry(operator, self.values.iter().map(ToString::to_string).collect()));
        }
        if !self.complement && self.values.is_empty() {
            entries.push(entry(Operator::DoesNotExist, Vec::new()));
        }
        let says_present =
            self.gte.is_some() || self.lte.is_some() || !(self.complement || self.values.is_empty());
        if !self.absence && !says_present {
            entries.push(entry(Operator::Exists, Vec::new()));
        }
        entries
    }
}

/// `key Op [values]`, then what else is asked for: `team NotIn [a] Exists`, `cpu Exists >=2 <=8 minValues 3`.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Excerpt(&self.key), self.operator())?;
        if matches!(self.operator(), Operator::In | Operator::NotIn) {
            f.write_str(" [")?;
            for (i, value) in self.values.iter().take(VALUES_SHOWN).enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                // An empty value is a value.
                if value.is_empty() { f.write_str("\"\"") } else { write!(f, "{}", Excerpt(value)) }?;
            }
            match self.values.len().saturating_sub(VALUES_SHOWN) {
                0 => f.write_str("]")?,
                1 => f.write_str(" and 1 other]")?,
                others => write!(f, " and {others} others]")?,
            }
        }
        if self.operator() == Operator::NotIn && !self.absence {
            f.write_str(" Exists")?;
        }
        if let Some(gte) = self.gte {
            write!(f, " >={gte}")?;
        }
        if let Some(lte) = self.lte {
            write!(f, " <={lte}")?;
        }
        if let Some(min_values) = self.min_values {
            write!(f, " minValues {min_values}")?;
        }
        Ok(())
    }
}

type Values = BTreeSet<Arc<str>>;

fn union(a: Values, b: Values) -> Values {
    let (mut larger, smaller) = if a.len() < b.len() { (b, a) } else { (a, b) };
    larger.extend(smaller);
    larger
}

fn common(a: Values, b: Values) -> Values {
    let (larger, mut smaller) = if a.len() < b.len() { (b, a) } else { (a, b) };
    smaller.retain(|value| larger.contains(value));
    smaller
}

fn without(mut values: Values, excluded: &Values) -> Values {
    if excluded.len() < values.len() {
        for value in excluded {
            values.remove(value);
        }
    } else {
        values.retain(|value| !excluded.contains(value));
    }
    values
}

fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn is_empty_range(gte: Option<i64>, lte: Option<i64>) -> bool {
    matches!((gte, lte), (Some(gte), Some(lte)) if gte > lte)
}

/// Whether a value lies within the bounds; with a bound, only integers do.
fn within(value: &str, gte: Option<i64>, lte: Option<i64>) -> bool {
    if gte.is_none() && lte.is_none() {
        return true;
    }
    value
        .parse()
        .is_ok_and(|value: i64| gte.is_none_or(|gte| gte <= value) && lte.is_none_or(|lte| value <= lte))
}

/// An entry that is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// The operator is none that the API knows.
    #[error(
        "key {}: unknown operator \"{}\"; use In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte",
        Excerpt(.key),
        Excerpt(.operator)
    )]
    UnknownOperator {
        /// The label's key.
        key: String,
        /// The operator as it was given.
        operator: String,
    },
    /// `In` without values would match nothing.
    #[error("key {}: operator In needs at least one value", Excerpt(.key))]
    NoValues {
        /// The label's key.
        key: String,
    },
    /// A comparison has no value, or several.
    #[error("key {}: operator {operator} needs exactly one value, not {count}", Excerpt(.key))]
    NotOneValue {
        /// The label's key.
        key: String,
        /// The comparison.
        operator: Operator,
        /// How many values were given.
        count: usize,
    },
    /// A comparison's value is no 64-bit integer.
    #[error("key {}: operator {operator} compares integers, and \"{}\" is none", Excerpt(.key), Excerpt(.value))]
    NotAnInteger {
        /// The label's key.
        key: String,
        /// The comparison.
        operator: Operator,
        /// The value as it was given.
        value: String,
    },
}
