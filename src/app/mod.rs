//! The composition root: builds adapters, supervises every task, shuts down in order.

#[cfg(feature = "ec2")]
mod cluster_facts;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod supervisor;
pub mod webhook;

use std::collections::BTreeSet;

use crate::admission::policies::Settings;
use crate::cluster::client;
use crate::config::CommonSettings;

/// The namespaces that are not judged: those that are compiled in, the one that Treenail itself runs in, and those that the settings name. The
/// webhook judges by them and the controller removes pods by them, so both ask here, and both say what they go by.
fn exempt_namespaces(common: &CommonSettings) -> BTreeSet<String> {
    let mut exempt = Settings::default().exempt_namespaces;
    exempt.insert(common.system_namespace.clone());
    exempt.extend(common.exempt_namespaces.iter().filter(|name| !name.is_empty()).cloned());
    let names: Vec<_> = exempt.iter().map(String::as_str).collect();
    tracing::info!(namespaces = names.join(","), "exempt: pods of these namespaces are not judged");
    exempt
}

/// The cluster that this process is to work for, or what was tried and what to do.
async fn find_cluster() -> anyhow::Result<kube::Config> {
    // Its text holds those of its causes; as a source it would repeat them.
    let config = client::find().await.map_err(|error| {
        anyhow::anyhow!(
            "find the cluster: {error}; set KUBECONFIG to a file that can be read, or run in a pod with a ServiceAccount token"
        )
    })?;
    tracing::info!(url = %config.cluster_url, "the API server that is worked for");
    Ok(config)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        common: CommonSettings,
    }

    #[test]
    fn the_namespaces_of_treenail_and_of_the_settings_are_exempt_beside_the_usual_ones() {
        let exempt = |arguments: &[&str]| {
            let arguments = ["treenail", "--system-namespace=platform"].iter().chain(arguments);
            let exempt = exempt_namespaces(&Flags::parse_from(arguments).common);
            exempt.into_iter().collect::<Vec<_>>().join(" ")
        };
        let usual = "kube-node-lease kube-public kube-system platform";
        assert_eq!(exempt(&[]), format!("{usual} treenail-system"));
        assert_eq!(exempt(&["--exempt-namespaces="]), format!("{usual} treenail-system"));
        assert_eq!(
            exempt(&["--exempt-namespaces=calico-system,falco"]),
            format!("calico-system falco {usual} treenail-system")
        );
    }
}
