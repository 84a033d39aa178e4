use expect_test::{Expect, expect};

use super::*;
use crate::api::crds;

/// `B path: text` for what blocks, `W …` for what weakens, one a line.
fn check(kind: Kind, spec: &str, expected: &Expect) {
    let spec: Value = serde_saphyr::from_str(spec).expect("YAML");
    let raw = in_object(kind, &json!({ "spec": spec }));
    let mark = |u: &Unsupported| if u.severity == Severity::Blocks { 'B' } else { 'W' };
    let lines: Vec<_> = raw.iter().map(|u| format!("{} {u}", mark(u))).collect();
    expected.assert_eq(&lines.join("\n"));
    // The typed function says the same, but for fields that the type does not know, and but for defaults,
    // which the type has and the raw text may lack.
    let typed = match kind {
        Kind::NodePool => node_pool(&NodePool::new("x", serde_json::from_value(spec).expect("a pool"))),
        Kind::Ec2NodeClass => {
            ec2_node_class(&Ec2NodeClass::new("x", serde_json::from_value(spec).expect("a class")))
        }
        Kind::WorkloadType => {
            workload_type(&WorkloadType::new("x", serde_json::from_value(spec).expect("a type")))
        }
    };
    for finding in &raw {
        let is_known = finding.text != "this version does not know the field";
        assert!(!is_known || typed.contains(finding), "not found by the typed function: {finding}");
    }
}

#[test]
fn a_pool_with_everything_that_is_built_has_nothing_unsupported() {
    check(
        Kind::NodePool,
        r#"
        template:
          metadata: { labels: { team: red }, annotations: { note: hello } }
          spec:
            nodeClassRef: { group: karpenter.k8s.aws, kind: EC2NodeClass, name: default }
            requirements:
            - { key: karpenter.sh/capacity-type, operator: In, values: [on-demand] }
            - { key: karpenter.k8s.aws/instance-cpu, operator: Gte, values: ["4"] }
            - { key: example.com/gpu, operator: DoesNotExist }
            taints: [{ key: node-type, value: application, effect: NoSchedule }]
            startupTaints: [{ key: example.com/agent, effect: NoExecute }]
            expireAfter: Never
            terminationGracePeriod: 1h
        disruption:
          consolidateAfter: 30s
          consolidationPolicy: WhenEmpty
          budgets: [{ nodes: "2" }, { nodes: 10%, reasons: [Empty] }]
        limits: { cpu: 100, nodes: "5" }
        weight: 10
        "#,
        &expect![""],
    );
}

#[test]
fn a_pool_is_told_what_is_not_built() {
    check(
        Kind::NodePool,
        r#"
        template:
          spec:
            nodeClassRef: { group: treenail.dev, kind: NodeClass, name: default }
            requirements:
            - { key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand] }
            - { key: karpenter.sh/capacity-type, operator: NotIn, values: [on-demand] }
            - { key: karpenter.k8s.aws/instance-family, operator: Exists, minValues: 5 }
            - { key: team, operator: Like, values: [red] }
            taints: [{ key: a, effect: NoSchedule, timeAdded: "2025-01-01T00:00:00Z" }, { key: b, effect: Soft }]
            startupTaints: [{ key: c, effect: Soft, timeAdded: "2025-01-01T00:00:00Z" }]
            expireAfter: 720h
        disruption:
          consolidationPolicy: Balanced
          budgets: [{ nodes: "0", schedule: "@daily", duration: 8h }]
        replicas: 0
        consolidateWhen: { ratio: 2 }
        "#,
        &expect![[r#"
            B spec.consolidateWhen: not supported yet: this version does not know the field
            W spec.disruption.budgets[0].duration: not supported yet: the budget applies at all times
            W spec.disruption.budgets[0].schedule: not supported yet: the budget applies at all times
            W spec.disruption.consolidationPolicy: not supported yet: only empty nodes are removed, as with WhenEmpty
            B spec.replicas: not supported yet: pools with a fixed number of nodes
            W spec.template.spec.expireAfter: not supported yet: nodes are not replaced when they reach an age, as with Never
            B spec.template.spec.nodeClassRef.group: not supported yet: node classes of other groups than karpenter.k8s.aws
            B spec.template.spec.nodeClassRef.kind: not supported yet: node classes of other kinds than EC2NodeClass
            B spec.template.spec.requirements[2].minValues: not supported yet: keeping a minimum of values open when instances are chosen
            B spec.template.spec.requirements[3].operator: not supported yet: this version does not know the operator
            B spec.template.spec.startupTaints[0].effect: not supported yet: this version does not know the effect
            W spec.template.spec.startupTaints[0].timeAdded: not supported yet: the time is set when the taint is added
            W spec.template.spec.taints[0].timeAdded: not supported yet: the time is set when the taint is added
            B spec.template.spec.taints[1].effect: not supported yet: this version does not know the effect
            W spec.template.spec.requirements[0]: not supported yet: spot and reserved capacity: on-demand instances are launched instead
            B spec.template.spec.requirements[1]: not supported yet: spot and reserved capacity: only on-demand instances can be launched"#]],
    );
}

#[test]
fn a_class_with_everything_that_is_built_has_nothing_unsupported() {
    check(
        Kind::Ec2NodeClass,
        r#"
        amiFamily: AL2023
        amiSelectorTerms: [{ alias: al2023@latest }]
        subnetSelectorTerms: [{ tags: { a: b } }, { id: subnet-1 }]
        securityGroupSelectorTerms: [{ tags: { a: b } }, { id: sg-1 }, { name: nodes }]
        role: nodes
        tags: { a: b }
        associatePublicIPAddress: false
        ipPrefixCount: 0
        detailedMonitoring: true
        metadataOptions: { httpTokens: optional }
        cpuOptions: { nestedVirtualization: disabled }
        blockDeviceMappings: [{ deviceName: /dev/xvda, rootVolume: true, ebs: { volumeSize: 20Gi, encrypted: true } }]
        kubelet:
          maxPods: 50
          podsPerCore: 4
          systemReserved: { cpu: 100m }
          kubeReserved: { cpu: 100m }
          evictionHard: { memory.available: 5% }
          clusterDNS: [10.0.0.10]
        "#,
        &expect![""],
    );
}

#[test]
fn a_class_is_told_what_is_not_built() {
    check(
        Kind::Ec2NodeClass,
        r#"
        amiFamily: Bottlerocket
        amiSelectorTerms:
        - { alias: bottlerocket@latest }
        - { id: ami-1 }
        - { name: golden, owner: self, tags: { a: b }, ssmParameter: /p }
        subnetSelectorTerms: [{ id: subnet-1 }]
        securityGroupSelectorTerms: [{ id: sg-1 }]
        instanceProfile: nodes
        userData: echo hello
        capacityReservationSelectorTerms: [{ id: cr-1 }]
        placementGroupSelector: { name: near }
        ipPrefixCount: 1
        kubelet: { cpuCFSQuota: false, evictionSoft: {}, imageGCHighThresholdPercent: 0 }
        instanceStorePolicy: RAID0
        networkInterfaces: [{ networkCardIndex: 0, deviceIndex: 0, interfaceType: interface }]
        connectionTracking: { udpTimeout: 30 }
        context: c
        cpuOptions: { nestedVirtualization: enabled }
        "#,
        &expect![[r#"
            B spec.amiFamily: not supported yet: families other than AL2023
            B spec.amiSelectorTerms[0].alias: not supported yet: images other than Amazon Linux 2023 (alias al2023@…)
            B spec.amiSelectorTerms[1].id: not supported yet: images by id: use alias al2023@…
            B spec.amiSelectorTerms[2].name: not supported yet: images by name: use alias al2023@…
            B spec.amiSelectorTerms[2].owner: not supported yet: images by owner: use alias al2023@…
            B spec.amiSelectorTerms[2].ssmParameter: not supported yet: images by SSM parameter: use alias al2023@…
            B spec.amiSelectorTerms[2].tags: not supported yet: images by tags: use alias al2023@…
            W spec.capacityReservationSelectorTerms: not supported yet: capacity reservations: on-demand instances are launched outside of them
            B spec.connectionTracking: not supported yet: timeouts of connection tracking
            B spec.context: not supported yet: the reserved context of the EC2 API
            B spec.cpuOptions.nestedVirtualization: not supported yet: virtual machines on instances
            B spec.instanceStorePolicy: not supported yet: local disks as pods' storage
            B spec.ipPrefixCount: not supported yet: address prefixes on network interfaces
            B spec.kubelet.cpuCFSQuota: not supported yet: this setting of the kubelet
            B spec.kubelet.evictionSoft: not supported yet: this setting of the kubelet
            B spec.kubelet.imageGCHighThresholdPercent: not supported yet: this setting of the kubelet
            B spec.networkInterfaces: not supported yet: network interfaces of your own
            B spec.placementGroupSelector: not supported yet: placement groups
            B spec.userData: not supported yet: user data of your own"#]],
    );
}

#[test]
fn a_type_that_spells_out_the_defaults_has_nothing_unsupported() {
    check(
        Kind::WorkloadType,
        r#"
        pools: [{ name: application, tenancy: Shared, onlyForResources: [], fallbackAfter: 2m }, { name: burst }]
        enforcement: Enforce
        allow:
          tolerations: []
          schedulerNames: [default-scheduler]
          priorityClassNames: []
          runtimeClassNames: []
          crossNamespaceAffinity: false
        agents: []
        limits: {}
        network: { isolation: None, allowFromTypes: [] }
        "#,
        &expect![""],
    );
}

#[test]
fn a_type_is_told_what_is_not_built() {
    check(
        Kind::WorkloadType,
        r#"
        pools:
        - name: application
          tenancy: Team
          namespaceSelector: { matchLabels: { treenail.dev/env: prod } }
          onlyForResources: [nvidia.com/gpu]
          fallbackAfter: 0s
        namespaceSelector: { matchLabels: { treenail.dev/env: prod } }
        enforcement: Audit
        tolerations: []
        nodeSelector: { a: b }
        allow:
          tolerations: [{ key: a, effect: NoSchedule }]
          schedulerNames: [mine]
          priorityClassNames: [high]
          runtimeClassNames: [gvisor]
          crossNamespaceAffinity: true
        agents: [{ namespace: logging, name: fluent-bit }]
        limits: { nodes: 0 }
        network: { isolation: Type, allowFromTypes: [monitoring] }
        "#,
        &expect![[r#"
            B spec.agents: not supported yet: agents of a type
            B spec.allow.crossNamespaceAffinity: not supported yet: affinity to other types' namespaces
            B spec.allow.priorityClassNames: not supported yet: a list of priority classes
            B spec.allow.runtimeClassNames: not supported yet: a list of runtime classes
            B spec.allow.schedulerNames: not supported yet: schedulers other than default-scheduler
            B spec.allow.tolerations: not supported yet: tolerations for other types' taints
            B spec.enforcement: not supported yet: enforcement other than Enforce
            B spec.limits: not supported yet: limits of a type: limit its pools
            B spec.namespaceSelector: not supported yet: namespaces by selector: label each namespace
            B spec.network.allowFromTypes: not supported yet: network policies of a type
            B spec.network.isolation: not supported yet: network policies of a type
            B spec.nodeSelector: not supported yet: a node selector of your own: it is derived
            B spec.pools[0].fallbackAfter: not supported yet: another time before the next pool is used
            B spec.pools[0].namespaceSelector: not supported yet: pools for some namespaces of a type
            B spec.pools[0].onlyForResources: not supported yet: pools for some resources
            B spec.pools[0].tenancy: not supported yet: nodes of one team or namespace
            B spec.tolerations: not supported yet: tolerations of your own: they are derived from the taints of the pools"#]],
    );
}

/// Paths of the fields of a schema that no row speaks for, and of rows that speak for none.
fn undecided(rows: &[Row], schema: &Value, pattern: &str, used: &mut Vec<&'static str>) -> Vec<String> {
    if let Some(row) = row(rows, pattern) {
        used.push(row.path);
        return Vec::new();
    }
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        let below = fields.iter().map(|(name, inner)| (format!("{pattern}.{name}"), inner));
        return below.flat_map(|(path, inner)| undecided(rows, inner, &path, used)).collect();
    }
    if let Some(items) = schema.get("items") {
        return undecided(rows, items, &format!("{pattern}[]"), used);
    }
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        let below = rows.iter().filter(|row| is_below(row.path, pattern)).map(|row| row.path);
        used.extend(below);
        return if used.iter().any(|path| path.strip_suffix(".*") == Some(pattern)) {
            Vec::new()
        } else {
            vec![format!("{pattern}.*")]
        };
    }
    vec![pattern.to_owned()]
}

#[test]
fn every_field_of_every_spec_is_decided_and_no_row_is_left_over() {
    let crds = crds::all().expect("every CRD can be made");
    let kinds = [
        ("nodepools.karpenter.sh", Kind::NodePool),
        ("ec2nodeclasses.karpenter.k8s.aws", Kind::Ec2NodeClass),
        ("workloadtypes.treenail.dev", Kind::WorkloadType),
    ];
    for (name, kind) in kinds {
        let crd = crds.iter().find(|crd| crd.name() == name).expect("listed");
        let spec = crd.schema().pointer("/properties/spec").expect("every kind has a spec");
        let mut used = Vec::new();
        assert_eq!(undecided(kind.rows(), spec, "spec", &mut used), Vec::<String>::new(), "{name}");
        let unused: Vec<_> =
            kind.rows().iter().map(|row| row.path).filter(|path| !used.contains(path)).collect();
        assert_eq!(unused, Vec::<&str>::new(), "{name}");
    }
}
