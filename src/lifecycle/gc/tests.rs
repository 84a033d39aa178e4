use super::*;
use crate::model::testing::nodes::{at, claim, fresh_node, instance_id, object, registered_node};

fn instance(number: &str, launched: i64) -> Instance {
    Instance {
        provider_id: ProviderId::new(format!("aws:///us-east-1a/i-{number}")),
        launched: at(launched),
        claim_uid: None,
        is_ending: false,
    }
}

/// What is removed at 100 s.
#[track_caller]
fn check(instances: &[Instance], claims: &[NodeClaim], nodes: &[Node], expected: &[Garbage]) {
    let inventory = Inventory { listed_at: at(100), instances, claims, nodes };
    assert_eq!(collect(&inventory), expected);
}

fn silent() -> Node {
    Node { is_ready: false, ..registered_node() }
}

#[test]
fn a_claim_goes_when_its_instance_is_gone_and_its_node_silent() {
    let gone = Garbage::Claim(claim().object);
    check(&[], &[claim().registered()], &[silent()], std::slice::from_ref(&gone));
    check(&[], &[claim().registered()], &[], std::slice::from_ref(&gone));
    // Two Nodes, one of them ready: the instance runs.
    check(&[], &[claim().registered()], &[silent(), registered_node()], &[]);
    check(&[], &[claim().registered()], &[registered_node()], &[]);
    check(&[instance("1", 5)], &[claim().registered()], &[silent()], &[]);
    check(&[], &[claim().registered().deleted(50)], &[silent()], &[]);
    // It ended before its node came.
    check(&[], &[claim().launched()], &[], std::slice::from_ref(&gone));
    check(&[instance("1", 5)], &[claim().launched()], &[], &[]);
    check(&[], &[claim()], &[], &[]);
    let another = Node { provider_id: Some(ProviderId::new("other")), ..registered_node() };
    check(&[], &[claim().registered()], &[another], &[gone]);
}

#[test]
fn a_claim_that_was_launched_after_the_list_was_made_is_not_in_it() {
    let mut late = claim();
    late.provider_id = Some(instance_id());
    let holds = |condition| crate::api::conditions::Change::holds(condition);
    let late = |second| late.clone().with(&[holds(LAUNCHED)], at(second));
    check(&[], &[late(71)], &[], &[]);
    check(&[], &[late(70)], &[], &[Garbage::Claim(claim().object)]);
}

#[test]
fn an_instance_goes_when_no_claim_has_it_and_it_is_old_enough() {
    let orphan = || Garbage::Instance(instance_id());
    let of_claim = |uid: &str| Instance { claim_uid: Some(uid.into()), ..instance("1", 5) };
    let launched = || claim().launched();
    check(&[instance("1", 5)], &[], &[], &[orphan()]);
    check(&[instance("1", 70)], &[], &[], &[orphan()]);
    check(&[instance("1", 71)], &[], &[], &[]);
    check(&[Instance { is_ending: true, ..instance("1", 5) }], &[], &[], &[]);
    check(&[instance("1", 5)], &[launched()], &[], &[]);
    // It will find its instance by its UID, even if it is being deleted.
    check(&[of_claim(&claim().object.uid)], &[claim()], &[], &[]);
    check(&[of_claim(&claim().object.uid)], &[claim().deleted(20)], &[], &[]);
    check(&[of_claim("another")], &[claim()], &[], &[orphan()]);
    // It has another one.
    let double = Instance { claim_uid: Some(claim().object.uid), ..instance("2", 5) };
    let expected = Garbage::Instance(double.provider_id.clone());
    check(&[instance("1", 5), double], &[launched()], &[], &[expected]);
}

#[test]
fn a_node_that_has_neither_instance_nor_claim_is_deleted_and_then_let_go() {
    let left = Garbage::Node(object("n1"));
    check(&[], &[], &[silent()], std::slice::from_ref(&left));
    check(&[], &[], &[fresh_node()], std::slice::from_ref(&left));
    check(&[], &[], &[Node { is_deleting: true, ..silent() }], &[Garbage::DeletedNode(object("n1"))]);
    check(&[], &[], &[Node { is_deleting: true, has_finalizer: false, ..silent() }], &[]);
    check(&[], &[], &[registered_node()], &[]);
    check(&[], &[], &[Node { created: Some(at(71)), ..silent() }], &[]);
    check(&[], &[], &[Node { provider_id: None, ..silent() }], &[]);
    let mut foreign = silent();
    foreign.labels.clear();
    check(&[], &[], &[foreign], &[]);
    check(&[instance("1", 90)], &[], &[silent()], &[]);
    check(&[instance("1", 5)], &[], &[silent()], &[Garbage::Instance(instance_id())]);
    check(&[], &[claim().launched()], &[silent()], &[Garbage::Claim(claim().object)]);
}

#[test]
fn an_instance_that_two_claims_name_is_not_nobodys_when_either_goes() {
    let mut other = claim().registered();
    other.object = object("other");
    let tagged = Instance { claim_uid: Some(claim().object.uid), ..instance("1", 5) };
    check(std::slice::from_ref(&tagged), &[claim().registered(), other.clone()], &[registered_node()], &[]);
    check(&[tagged], &[other], &[registered_node()], &[]);
}
