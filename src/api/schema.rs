//! Patterns, schemas and rules that several kinds share.
//!
//! They mirror what Karpenter's CRDs accept, so that the objects people have stay valid; what a schema
//! cannot express is checked when the model is built.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::labels;

/// A label or taint key: an optional DNS subdomain and a slash, then a name.
pub(super) const QUALIFIED_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";

/// A label value; may be empty.
pub(super) const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The name of a namespace and of many other objects.
pub(super) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The name of most objects: DNS labels with dots between them.
pub(super) const DNS_SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A resource that only some nodes have: in a domain of its own, or huge pages.
const EXTENDED_RESOURCE: &str = "^(hugepages-[0-9]+(Ki|Mi|Gi)|[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$";

/// A quantity as Kubernetes writes it: `100m`, `1.5`, `64Gi`, `1e3`; may be negative.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// A moment, RFC 3339.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Resource names with quantities. The schema that comes with the client library has no pattern and
/// would accept any text as a quantity.
pub(super) fn resource_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "pattern": QUANTITY,
            "x-kubernetes-int-or-string": true,
        },
    })
}

/// Label keys with label values. The keys are for a rule to check: a schema cannot constrain them.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
    })
}

/// Values of a requirement. Karpenter's CRDs bound each value at the wrong place, so that only its
/// controller refuses what no label can hold; here the API server does.
pub(super) fn requirement_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
        "x-kubernetes-list-type": "atomic",
    })
}

/// Names of objects, each once.
pub(super) fn object_names(_: &mut SchemaGenerator) -> Schema {
    set_of(DNS_SUBDOMAIN, 253)
}

/// Names of workload types, each once.
pub(super) fn type_names(_: &mut SchemaGenerator) -> Schema {
    set_of(DNS_LABEL, 63)
}

/// Values of a label, each once.
pub(super) fn label_values(_: &mut SchemaGenerator) -> Schema {
    set_of(LABEL_VALUE, 63)
}

/// Names of resources that only some nodes have, each once.
pub(super) fn extended_resource_names(_: &mut SchemaGenerator) -> Schema {
    set_of(EXTENDED_RESOURCE, 316)
}

fn set_of(pattern: &str, max_length: u32) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "maxLength": max_length, "pattern": pattern },
        "x-kubernetes-list-type": "set",
    })
}

/// Whether a rule looks at one key or at the keys of a map.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// `self` is the key.
    Own,
    /// `self` is a map, or a list, of keys.
    All,
}

impl Keys {
    fn rule(self, condition: impl Fn(&str) -> String) -> String {
        match self {
            Self::Own => condition("self"),
            Self::All => format!("self.all(k, {})", condition("k")),
        }
    }
}

/// Labels of the domain `karpenter.sh` are the controllers', save two.
pub(super) fn karpenter_domain(keys: Keys) -> Rule {
    domain_rule(keys, labels::KARPENTER_GROUP, &[labels::CAPACITY_TYPE, labels::NODEPOOL])
}

/// Labels of the domain `karpenter.k8s.aws` are those that describe instance types.
pub(super) fn aws_domain(keys: Keys) -> Rule {
    domain_rule(keys, labels::KARPENTER_AWS_GROUP, labels::AWS_LABELS)
}

/// The pool's own label is the controllers', also where the rest of the domain's rule would admit it.
pub(super) fn not_nodepool_label(keys: Keys) -> Rule {
    not_label(keys, labels::NODEPOOL)
}

/// The node's own name would tie a pool to one machine.
pub(super) fn not_hostname_label(keys: Keys) -> Rule {
    not_label(keys, labels::HOSTNAME)
}

fn not_label(keys: Keys, label: &str) -> Rule {
    let rule = keys.rule(|k| format!("{k} != '{label}'"));
    Rule::new(rule).message(format!("label \"{label}\" is restricted").as_str())
}

/// Compares the end of the text before the slash, as Karpenter does: `notkarpenter.sh/x` is refused too.
fn domain_rule(keys: Keys, domain: &str, allowed: &[&str]) -> Rule {
    let allowed = allowed.iter().map(|label| format!("'{label}'")).collect::<Vec<_>>().join(", ");
    let rule = keys.rule(|k| format!("!{k}.split('/')[0].endsWith('{domain}') || {k} in [{allowed}]"));
    Rule::new(rule).message(format!("label domain \"{domain}\" is restricted").as_str())
}

/// Rules on a list of requirements.
pub(super) mod requirements {
    /// `In` without a value would match nothing.
    pub(in crate::api) const IN: (&str, &str) = (
        "self.all(r, r.operator != 'In' || (has(r.values) && r.values.size() > 0))",
        "operator In needs at least one value",
    );
    /// Comparisons are between whole numbers.
    pub(in crate::api) const NUMBER: (&str, &str) = (
        "self.all(r, !(r.operator in ['Gt', 'Lt', 'Gte', 'Lte']) || (has(r.values) && r.values.size() == 1 && \
         r.values[0].matches('^[+-]?[0-9]+$') && int(r.values[0]) >= 0))",
        "operators Gt, Lt, Gte and Lte need exactly one value, a whole number of at least 0",
    );
    /// The pool of a node is the pool itself.
    pub(in crate::api) const NOT_NODEPOOL: (&str, &str) =
        ("self.all(r, r.key != 'karpenter.sh/nodepool')", "label \"karpenter.sh/nodepool\" is restricted");
    /// More values demanded than listed can never be met.
    pub(in crate::api) const MIN_VALUES: (&str, &str) = (
        "self.all(r, r.operator != 'In' || !has(r.minValues) || (has(r.values) && r.values.size() >= r.minValues))",
        "operator In needs at least as many values as minValues demands",
    );
}
