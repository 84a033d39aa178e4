//! What nodes must know about the cluster that they join, read where it is: settings, the own kubeconfig, the API server, EKS.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;

use crate::config::ControllerSettings;
use crate::ports::cloud::ClusterFacts;

/// Reads the facts. `service_cidr` and `endpoint` are the cloud's answer. What no node could join by is refused here, and not at every launch.
pub(super) async fn read(
    settings: &ControllerSettings,
    config: &kube::Config,
    client: &Client,
    (service_cidr, endpoint): (String, Option<String>),
) -> Result<ClusterFacts> {
    let version = client.apiserver_version().await;
    let version =
        version.with_context(|| format!("ask the API server {} for its version", config.cluster_url))?;
    // Managed control planes report minors such as `33+`.
    let minor = version.minor.trim_end_matches(|character: char| !character.is_ascii_digit());
    Ok(ClusterFacts {
        name: settings.cluster_name.clone(),
        endpoint: endpoint_of(settings.cluster_endpoint.as_deref().or(endpoint.as_deref()), config),
        certificate_authority: match &settings.cluster_ca_bundle {
            Some(bundle) => authority_of(bundle)?,
            None => authority_in(config)?,
        },
        service_cidr: ipv4_range(&settings.cluster_name, service_cidr)?,
        dns_address: dns_address(client).await?,
        kubernetes_version: format!("{}.{minor}", version.major),
    })
}

/// The URL by which nodes reach the API server. That of the own kubeconfig comes last: in a pod it is an address that only pods can use.
fn endpoint_of(known: Option<&str>, config: &kube::Config) -> String {
    let own = config.cluster_url.to_string();
    known.unwrap_or(&own).trim_end_matches('/').to_owned()
}

fn authority_of(bundle: &str) -> Result<String> {
    let bundle =
        BASE64_STANDARD.decode(bundle.trim()).context("--cluster-ca-bundle: expected base64 of PEM")?;
    String::from_utf8(bundle).context("--cluster-ca-bundle: expected base64 of PEM")
}

/// The authority that this process itself trusts.
fn authority_in(config: &kube::Config) -> Result<String> {
    let Some(certificates) = config.root_cert.as_ref().filter(|certificates| !certificates.is_empty()) else {
        bail!("the own kubeconfig names no certificate authority; give --cluster-ca-bundle (base64 of PEM)");
    };
    Ok(certificates.iter().map(|certificate| pem(certificate)).collect())
}

fn pem(certificate: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", certificate),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

async fn dns_address(client: &Client) -> Result<IpAddr> {
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let service = services
        .get("kube-dns")
        .await
        .context("read Service kube-system/kube-dns, whose address nodes ask")?;
    dns_address_of(service)
}

fn dns_address_of(service: Service) -> Result<IpAddr> {
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("Service kube-system/kube-dns has no spec.clusterIP; nodes need the address of the cluster's DNS server")?;
    match address.parse() {
        Ok(address @ IpAddr::V4(_)) => Ok(address),
        Ok(IpAddr::V6(_)) => bail!(
            "Service kube-system/kube-dns: spec.clusterIP {address} is IPv6; nodes of IPv6 clusters are not supported yet, the cluster's \
             first IP family must be IPv4"
        ),
        Err(_) => bail!(
            "Service kube-system/kube-dns: spec.clusterIP {address:?} is no address; nodes need the IPv4 address of the cluster's DNS server"
        ),
    }
}

/// The range as it is, if nodes can be told it.
fn ipv4_range(cluster: &str, range: String) -> Result<String> {
    let is_range = range.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
    });
    if !is_range {
        bail!(
            "--cluster-name: the service addresses of EKS cluster {cluster} (kubernetesNetworkConfig.serviceIpv4Cidr) are {range:?}; \
             expected an IPv4 range such as 172.20.0.0/16"
        );
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::authority::Authority;
    use crate::tls::trust::certificates;

    #[test]
    fn a_certificate_is_written_as_the_pem_that_it_was_read_from() {
        let authority = Authority::generate("2026-03-01T00:00:00Z".parse().unwrap()).unwrap();
        let written: String =
            certificates(&authority.bundle).iter().map(|certificate| pem(certificate)).collect();
        assert_eq!(certificates(&written), certificates(&authority.bundle));
    }

    #[test]
    fn nodes_are_told_the_flag_or_what_eks_names_and_the_own_address_last() {
        let config = kube::Config::new("https://10.0.0.1:443/".parse().unwrap());
        assert_eq!(endpoint_of(Some("https://a.example/"), &config), "https://a.example");
        assert_eq!(endpoint_of(None, &config), "https://10.0.0.1:443");
    }

    #[test]
    fn a_cluster_whose_dns_server_has_no_ipv4_address_is_refused_by_name() {
        let address = |address: Option<&str>| {
            let service = serde_json::json!({ "metadata": {}, "spec": { "clusterIP": address } });
            dns_address_of(serde_json::from_value(service).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(address(Some("172.20.0.10")).unwrap().to_string(), "172.20.0.10");
        for (given, expected) in
            [(Some("fd00::a"), "IPv6"), (Some("None"), "no address"), (None, "no spec.clusterIP")]
        {
            let error = address(given).unwrap_err();
            assert!(error.contains("Service kube-system/kube-dns") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn service_addresses_that_are_no_ipv4_range_are_refused_with_the_clusters_name() {
        assert_eq!(ipv4_range("lab", "172.20.0.0/16".to_owned()).unwrap(), "172.20.0.0/16");
        for range in ["fd00::/108", "172.20.0.0", "172.20.0.0/33", ""] {
            let error = ipv4_range("lab", range.to_owned()).unwrap_err().to_string();
            assert!(error.contains("cluster lab") && error.contains("172.20.0.0/16"), "{error}");
        }
    }

    #[test]
    fn a_bundle_that_is_not_base64_is_an_error_that_names_the_flag() {
        let error = authority_of("-----BEGIN").unwrap_err();
        assert!(format!("{error:#}").contains("--cluster-ca-bundle"));
    }
}
