//! Taints and tolerations: which taint a toleration matches, and which toleration makes another superfluous.
//!
//! Matching is Kubernetes' own, including what the API server would refuse, because admission sees objects before the API server
//! has validated them. Which taints a workload type owns, and what follows from a match, is not decided here.

use std::{borrow::Cow, fmt, str::FromStr};

use k8s_openapi::api::core::v1::{Taint as ApiTaint, Toleration as ApiToleration};

use super::text::Excerpt;

#[cfg(test)]
mod tests;

/// Taints that every node carries for a while as it starts. They are ignored on our nodes until these are initialized, and hold
/// that up. Matched by key and effect.
const EPHEMERAL: [(&str, Effect); 5] = [
    ("node.kubernetes.io/not-ready", Effect::NoSchedule),
    ("node.kubernetes.io/not-ready", Effect::NoExecute),
    ("node.kubernetes.io/unreachable", Effect::NoSchedule),
    ("node.cloudprovider.kubernetes.io/uninitialized", Effect::NoSchedule),
    ("karpenter.sh/unregistered", Effect::NoExecute),
];

/// Taints of the node readiness controller, which are ephemeral whatever their effect.
const READINESS_PREFIX: &str = "readiness.k8s.io/";

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// New pods are not scheduled onto the node.
    NoSchedule,
    /// New pods are scheduled elsewhere if possible.
    PreferNoSchedule,
    /// New pods are not scheduled onto the node, and running ones are evicted.
    NoExecute,
}

impl Effect {
    /// The effect as the API writes it; spelling and case must be exact.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NoSchedule, Self::PreferNoSchedule, Self::NoExecute]
            .into_iter()
            .find(|effect| effect.name() == name)
    }

    /// The effect's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// Whether the taint keeps pods away, rather than only being a preference.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        match self {
            Self::NoSchedule | Self::NoExecute => true,
            Self::PreferNoSchedule => false,
        }
    }
}

/// A taint of a node or of a pool's template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value; empty if it has none.
    pub value: String,
    /// The effect.
    pub effect: Effect,
}

impl Taint {
    /// Whether both are the same taint to Kubernetes, which allows one value for each key and effect on a node.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.effect == other.effect
    }

    /// Whether a node carries this taint only while it starts.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.key.starts_with(READINESS_PREFIX)
            || EPHEMERAL.iter().any(|(key, effect)| self.key == *key && self.effect == *effect)
    }
}

/// `key=value:Effect`, or `key:Effect` without a value, as kubectl writes taints.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{separator}{}:{}", Excerpt(&self.key), Excerpt(&self.value), self.effect.name())
    }
}

/// Text or an API object that is no taint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaintError {
    /// The effect is none of the three.
    #[error(
        "taint {}: unknown effect \"{}\"; use NoSchedule, PreferNoSchedule or NoExecute",
        Excerpt(.key),
        Excerpt(.effect)
    )]
    UnknownEffect {
        /// The taint's key.
        key: String,
        /// The effect as it was given.
        effect: String,
    },
    /// The taint has no key.
    #[error("taint \"{}\" has no key; write it like node-type=application:NoSchedule", Excerpt(.text))]
    NoKey {
        /// The taint as it was given.
        text: String,
    },
}

impl FromStr for Taint {
    type Err = TaintError;

    /// Reads `key=value:Effect` or `key:Effect`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, effect) = text.rsplit_once(':').unwrap_or((text, ""));
        let (key, value) = name.split_once('=').unwrap_or((name, ""));
        if key.is_empty() {
            return Err(TaintError::NoKey { text: text.to_owned() });
        }
        let effect = Effect::from_name(effect)
            .ok_or_else(|| TaintError::UnknownEffect { key: key.to_owned(), effect: effect.to_owned() })?;
        Ok(Self { key: key.to_owned(), value: value.to_owned(), effect })
    }
}

impl TryFrom<&ApiTaint> for Taint {
    type Error = TaintError;

    fn try_from(taint: &ApiTaint) -> Result<Self, Self::Error> {
        let ApiTaint { effect, key, value, time_added: _ } = taint;
        if key.is_empty() {
            return Err(TaintError::NoKey {
                text: format!("{}:{effect}", value.as_deref().unwrap_or_default()),
            });
        }
        let effect = Effect::from_name(effect)
            .ok_or_else(|| TaintError::UnknownEffect { key: key.clone(), effect: effect.clone() })?;
        Ok(Self { key: key.clone(), value: value.clone().unwrap_or_default(), effect })
    }
}

impl From<&Taint> for ApiTaint {
    fn from(taint: &Taint) -> Self {
        Self {
            effect: taint.effect.name().to_owned(),
            key: taint.key.clone(),
            time_added: None,
            value: (!taint.value.is_empty()).then(|| taint.value.clone()),
        }
    }
}

/// Adds each of `new` whose key and effect are not there yet; where they are, the value that is there stays.
pub fn merge(taints: &mut Vec<Taint>, new: impl IntoIterator<Item = Taint>) {
    for taint in new {
        if !taints.iter().any(|existing| existing.is_same(&taint)) {
            taints.push(taint);
        }
    }
}

/// The first of `taints` that none of `tolerations` matches.
///
/// Leave out by [`Effect::is_hard`] what is only a preference, if it is to be ignored.
pub fn first_untolerated<'t>(
    taints: impl IntoIterator<Item = &'t Taint>,
    tolerations: &[Toleration<'_>],
) -> Option<&'t Taint> {
    taints.into_iter().find(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

/// How a toleration compares a taint's value with its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TolerationOperator<'a> {
    /// Any value will do.
    Exists,
    /// The values are equal. Also what an absent operator means.
    Equal,
    /// The taint's value is an integer below the toleration's.
    Lt,
    /// The taint's value is an integer above the toleration's.
    Gt,
    /// An operator that we do not know: today's schedulers match nothing with it, tomorrow's might.
    Unknown(&'a str),
}

/// Whether a toleration matches a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Key and effect match, and the operator is unknown. To the scheduler this is a no; whoever guards a taint should not rely on it.
    Unknown,
}

/// A toleration, borrowed from a request or owned. The fields are what the API object says; empty means absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Toleration<'a> {
    /// The key of the taints; empty for every key.
    pub key: Cow<'a, str>,
    /// The operator; empty for `Equal`.
    pub operator: Cow<'a, str>,
    /// The value that the operator compares with.
    pub value: Cow<'a, str>,
    /// The effect of the taints; empty for every effect.
    pub effect: Cow<'a, str>,
    /// For how long a `NoExecute` taint is tolerated; for ever, if absent.
    pub seconds: Option<i64>,
}

impl<'a> Toleration<'a> {
    /// The toleration of exactly this taint: its key, `Equal`, its value, its effect, for ever.
    #[must_use]
    pub fn of(taint: &'a Taint) -> Self {
        Self {
            key: taint.key.as_str().into(),
            operator: "Equal".into(),
            value: taint.value.as_str().into(),
            effect: taint.effect.name().into(),
            seconds: None,
        }
    }

    /// The same toleration with text of its own.
    #[must_use]
    pub fn into_owned(self) -> Toleration<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Toleration {
            key: own(self.key),
            operator: own(self.operator),
            value: own(self.value),
            effect: own(self.effect),
            seconds: self.seconds,
        }
    }

    /// The operator that the text stands for.
    #[must_use]
    pub fn operator(&self) -> TolerationOperator<'_> {
        match &*self.operator {
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            "Lt" => TolerationOperator::Lt,
            "Gt" => TolerationOperator::Gt,
            other => TolerationOperator::Unknown(other),
        }
    }

    /// Whether this toleration matches a taint, for any length of time.
    ///
    /// `Lt` and `Gt` are compared as Karpenter does and as a cluster does whose feature gate for them is on: both values must be
    /// 64-bit integers without sign or zeros in front.
    #[must_use]
    pub fn matches(&self, taint: &Taint) -> Tolerance {
        if !(self.effect.is_empty() || self.effect == taint.effect.name())
            || !(self.key.is_empty() || self.key == taint.key)
        {
            return Tolerance::No;
        }
        let matched = match self.operator() {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Lt => compare(&taint.value, &self.value, |taint, own| taint < own),
            TolerationOperator::Gt => compare(&taint.value, &self.value, |taint, own| taint > own),
            TolerationOperator::Unknown(_) => return Tolerance::Unknown,
        };
        if matched { Tolerance::Yes } else { Tolerance::No }
    }

    /// Whether the scheduler takes this toleration to match a taint.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.matches(taint) == Tolerance::Yes
    }

    /// Whether a pod with this toleration needs `wanted` no more: it tolerates whatever `wanted` tolerates, and as long.
    ///
    /// May say no where the truth is yes, never the reverse. In particular, comparisons only cover the same comparison, not single
    /// values, because they match nothing in clusters where the feature is off.
    #[must_use]
    pub fn covers(&self, wanted: &Toleration<'_>) -> bool {
        let covers_key = self.key.is_empty() || self.key == wanted.key;
        let covers_effect = self.effect.is_empty() || self.effect == wanted.effect;
        covers_key && covers_effect && self.covers_values(wanted) && self.covers_time(wanted)
    }

    fn covers_values(&self, wanted: &Toleration<'_>) -> bool {
        match (self.operator(), wanted.operator()) {
            (TolerationOperator::Exists, _) => true,
            (TolerationOperator::Equal, TolerationOperator::Equal) => self.value == wanted.value,
            (TolerationOperator::Lt, TolerationOperator::Lt) => {
                compare(&self.value, &wanted.value, |own, wanted| own >= wanted)
            }
            (TolerationOperator::Gt, TolerationOperator::Gt) => {
                compare(&self.value, &wanted.value, |own, wanted| own <= wanted)
            }
            (
                TolerationOperator::Equal
                | TolerationOperator::Lt
                | TolerationOperator::Gt
                | TolerationOperator::Unknown(_),
                _,
            ) => false,
        }
    }

    fn covers_time(&self, wanted: &Toleration<'_>) -> bool {
        // Seconds only count for taints that evict. Negative ones mean at once, like zero.
        let may_evict = wanted.effect.is_empty() || wanted.effect == Effect::NoExecute.name();
        match (self.seconds, wanted.seconds) {
            (None, _) => true,
            (Some(_), None) => !may_evict,
            (Some(own), Some(wanted)) => !may_evict || own.max(0) >= wanted.max(0),
        }
    }
}

fn compare(left: &str, right: &str, holds: impl Fn(i64, i64) -> bool) -> bool {
    canonical_integer(left).zip(canonical_integer(right)).is_some_and(|(left, right)| holds(left, right))
}

/// A 64-bit integer that is written the only way Kubernetes accepts here.
fn canonical_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = if digits.starts_with('0') { text == "0" } else { !digits.starts_with('+') };
    canonical.then(|| text.parse().ok()).flatten()
}

/// `key=value:Effect op=Exists for 300s`, as kubectl describes tolerations, with what is absent left out.
impl fmt::Display for Toleration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Excerpt(&self.key))?;
        if !self.value.is_empty() {
            write!(f, "={}", Excerpt(&self.value))?;
        }
        if !self.effect.is_empty() {
            write!(f, ":{}", Excerpt(&self.effect))?;
        }
        if self.operator() != TolerationOperator::Equal {
            let separator =
                if self.key.is_empty() && self.value.is_empty() && self.effect.is_empty() { "" } else { " " };
            write!(f, "{separator}op={}", Excerpt(&self.operator))?;
        }
        self.seconds.map_or(Ok(()), |seconds| write!(f, " for {seconds}s"))
    }
}

impl<'a> From<&'a ApiToleration> for Toleration<'a> {
    fn from(toleration: &'a ApiToleration) -> Self {
        let text = |field: &'a Option<String>| Cow::Borrowed(field.as_deref().unwrap_or_default());
        Self {
            key: text(&toleration.key),
            operator: text(&toleration.operator),
            value: text(&toleration.value),
            effect: text(&toleration.effect),
            seconds: toleration.toleration_seconds,
        }
    }
}

impl From<&Toleration<'_>> for ApiToleration {
    fn from(toleration: &Toleration<'_>) -> Self {
        let field = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            key: field(&toleration.key),
            operator: field(&toleration.operator),
            value: field(&toleration.value),
            effect: field(&toleration.effect),
            toleration_seconds: toleration.seconds,
        }
    }
}
