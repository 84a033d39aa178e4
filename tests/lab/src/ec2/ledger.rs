//! Which instances were launched and terminated when, as the calls that passed the front tell.

use std::collections::BTreeMap;
use std::time::Instant;

use roxmltree::{Document, Node};

use super::front::Call;

/// The tag that says which NodePool an instance belongs to.
const POOL_TAG: &str = "karpenter.sh/nodepool";

/// An instance that a launch has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// `i-…`
    pub id: String,
    /// Such as `c7i.xlarge`.
    pub instance_type: String,
}

/// An instance from its launch to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// `i-…`
    pub id: String,
    /// Such as `c7i.xlarge`.
    pub instance_type: String,
    /// The NodePool that its tag names.
    pub pool: Option<String>,
    /// When its launch was asked for.
    pub launched: Instant,
    /// When its end was asked for, if it was.
    pub terminated: Option<Instant>,
}

/// The instances that the answer to a launch names.
pub(super) fn launched(answer: &str) -> Vec<Launched> {
    let Ok(document) = Document::parse(answer) else { return Vec::new() };
    let named = |node: &Node<'_, '_>, name: &str| node.tag_name().name() == name;
    let child = |node: Node<'_, '_>, name: &str| -> String {
        let found = node.children().find(|child| named(child, name)).and_then(|child| child.text());
        found.unwrap_or_default().trim().to_owned()
    };
    let mut found = Vec::new();
    for item in document.descendants().filter(|node| named(node, "item")) {
        let instance_type = child(item, "instanceType");
        // CreateFleet lists instances of one type together, RunInstances one by one.
        let ids =
            { item.children() }.filter(|node| named(node, "instanceIds")).flat_map(|ids| ids.children());
        let ids = ids.filter_map(|id| id.text()).map(|id| id.trim().to_owned());
        for id in ids.chain([child(item, "instanceId")]).filter(|id| id.starts_with("i-")) {
            found.push(Launched { id, instance_type: instance_type.clone() });
        }
    }
    found
}

pub(super) fn lifetimes(calls: &[Call]) -> Vec<Lifetime> {
    let mut lifetimes: Vec<Lifetime> = Vec::new();
    for call in calls {
        for launched in &call.launched {
            // A launch that is repeated with its token is answered with the same instance.
            if !lifetimes.iter().any(|known| known.id == launched.id) {
                lifetimes.push(Lifetime {
                    id: launched.id.clone(),
                    instance_type: launched.instance_type.clone(),
                    pool: tag(&call.parameters, POOL_TAG),
                    launched: call.arrived,
                    terminated: None,
                });
            }
        }
        if call.action == "TerminateInstances" && call.status == Some(200) {
            let ends = |id: &str| {
                call.parameters.iter().any(|(name, value)| name.starts_with("InstanceId") && value == id)
            };
            for ended in lifetimes.iter_mut().filter(|known| known.terminated.is_none() && ends(&known.id)) {
                ended.terminated = Some(call.arrived);
            }
        }
    }
    lifetimes
}

fn tag(parameters: &BTreeMap<String, String>, key: &str) -> Option<String> {
    let (name, _) = parameters.iter().find(|(name, value)| name.ends_with(".Key") && *value == key)?;
    parameters.get(&format!("{}.Value", name.trim_end_matches(".Key"))).cloned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const FLEET: &str = "<CreateFleetResponse><fleetInstanceSet><item><instanceType>c7i.xlarge</instanceType>\
        <instanceIds><item>i-1</item><item>i-2</item></instanceIds></item></fleetInstanceSet></CreateFleetResponse>";

    fn call(action: &str, at: Instant, parameters: &[(&str, &str)], answer: &str) -> Call {
        Call {
            arrived: at,
            arrived_at: SystemTime::UNIX_EPOCH,
            took: Some(Duration::ZERO),
            action: action.to_owned(),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            user_agent: String::new(),
            status: Some(200),
            launched: launched(answer),
        }
    }

    #[test]
    fn an_instance_lives_from_its_first_launch_to_the_call_that_ends_it() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let tags =
            [("TagSpecification.1.Tag.2.Key", POOL_TAG), ("TagSpecification.1.Tag.2.Value", "application")];
        let calls = [
            call("CreateFleet", at(0), &tags, FLEET),
            call("CreateFleet", at(1), &tags, FLEET),
            call("TerminateInstances", at(5), &[("InstanceId.1", "i-2")], ""),
            call("TerminateInstances", at(9), &[("InstanceId.1", "i-2")], ""),
        ];
        let lifetime = |id: &str, terminated| Lifetime {
            id: id.to_owned(),
            instance_type: "c7i.xlarge".to_owned(),
            pool: Some("application".to_owned()),
            launched: at(0),
            terminated,
        };
        assert_eq!(lifetimes(&calls), [lifetime("i-1", None), lifetime("i-2", Some(at(5)))]);
    }

    #[test]
    fn instances_that_were_run_by_hand_count_too() {
        let answer = "<RunInstancesResponse><instancesSet><item><instanceId>i-3</instanceId>\
            <instanceType>m5a.large</instanceType><networkInterfaceSet><item><attachment/></item></networkInterfaceSet>\
            </item></instancesSet></RunInstancesResponse>";
        let expected = [Launched { id: "i-3".to_owned(), instance_type: "m5a.large".to_owned() }];
        assert_eq!(launched(answer), expected);
    }
}
