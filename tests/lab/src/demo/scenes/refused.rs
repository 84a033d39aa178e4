//! What cannot work, or would break the isolation, is refused at `kubectl apply`.

use anyhow::{Result, ensure};

use crate::demo::stage::Stage;
use crate::demo::tell;
use crate::users::User;

struct Refusal {
    what: &'static str,
    who: &'static str,
    manifest: &'static str,
    code: &'static str,
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        what: "a pod that tolerates the other type's taint",
        who: "administrator",
        manifest: "
apiVersion: v1
kind: Pod
metadata: {name: trespasser, namespace: shop}
spec:
  tolerations: [{key: node-type, value: monitoring, effect: NoSchedule}]
  containers: [{name: app, image: app}]",
        code: "ForeignToleration",
    },
    Refusal {
        what: "a pod that tolerates everything",
        who: "administrator",
        manifest: "
apiVersion: v1
kind: Pod
metadata: {name: wildcard, namespace: shop}
spec:
  tolerations: [{operator: Exists}]
  containers: [{name: app, image: app}]",
        code: "ForeignToleration",
    },
    Refusal {
        what: "a pod that chooses its node",
        who: "administrator",
        manifest: "
apiVersion: v1
kind: Pod
metadata: {name: chooser, namespace: shop}
spec:
  nodeName: ip-10-0-0-1.ec2.internal
  containers: [{name: app, image: app}]",
        code: "NodeNameSet",
    },
    Refusal {
        what: "a Deployment whose template contradicts its type",
        who: "administrator",
        manifest: "
apiVersion: apps/v1
kind: Deployment
metadata: {name: contrarian, namespace: shop}
spec:
  selector: {matchLabels: {app: contrarian}}
  template:
    metadata: {labels: {app: contrarian}}
    spec:
      nodeSelector: {workload-type.node-restriction.kubernetes.io/application: 'no'}
      containers: [{name: app, image: app}]",
        code: "SelectorContradiction",
    },
    Refusal {
        what: "a Deployment whose pods no node of their type can ever hold",
        who: "administrator",
        manifest: "
apiVersion: apps/v1
kind: Deployment
metadata: {name: giant, namespace: shop}
spec:
  selector: {matchLabels: {app: giant}}
  template:
    metadata: {labels: {app: giant}}
    spec:
      containers: [{name: app, image: app, resources: {requests: {memory: 1Ti}}}]",
        code: "NeverSchedulable",
    },
    Refusal {
        what: "a namespace of a type that does not exist",
        who: "administrator",
        manifest: "
apiVersion: v1
kind: Namespace
metadata: {name: typo, labels: {treenail.dev/workload-type: aplication}}",
        code: "UnknownWorkloadType",
    },
    Refusal {
        what: "a type given to a namespace by somebody who may not use it",
        who: "alice",
        manifest: "
apiVersion: v1
kind: Namespace
metadata: {name: ambition, labels: {treenail.dev/workload-type: monitoring}}",
        code: "TypeNotGranted",
    },
];

/// Alice may make namespaces; what they are is another matter.
const ALICE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: makes-namespaces}
rules: [{apiGroups: [''], resources: [namespaces], verbs: [get, create, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: alice-makes-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: makes-namespaces}
subjects: [{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}]
";

/// Each with its message.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    tell::heading("5. What cannot work is refused on the spot");
    stage.kubectl.apply(ALICE).await?;
    for refusal in REFUSALS {
        let user = if refusal.who == "alice" { User::named("alice") } else { User::administrator() };
        let outcome = stage.apply_as(&user, refusal.manifest).await?;
        ensure!(!outcome.success, "{} was accepted: {}", refusal.what, outcome.stdout.trim());
        let message = outcome.stderr.trim();
        let ours = outcome.refusal().unwrap_or(message);
        ensure!(
            ours.starts_with(&format!("{}:", refusal.code)),
            "{} was refused otherwise: {message}",
            refusal.what
        );
        tell::good(refusal.what);
        tell::wrapped(ours);
    }
    Ok(())
}
