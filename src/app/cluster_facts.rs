//! What nodes must know about the cluster that they join, read where it is: settings, the own kubeconfig, the API server, EKS.

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;

use crate::config::ControllerSettings;
use crate::ports::cloud::ClusterFacts;

/// Reads the facts. `service_cidr` is the cloud's answer.
pub(super) async fn read(
    settings: &ControllerSettings,
    config: &kube::Config,
    client: &Client,
    service_cidr: String,
) -> Result<ClusterFacts> {
    let version = client.apiserver_version().await.context("ask the API server for its version")?;
    // Managed control planes report minors such as `33+`.
    let minor = version.minor.trim_end_matches(|character: char| !character.is_ascii_digit());
    Ok(ClusterFacts {
        name: settings.cluster_name.clone(),
        endpoint: match &settings.cluster_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => config.cluster_url.to_string().trim_end_matches('/').to_owned(),
        },
        certificate_authority: match &settings.cluster_ca_bundle {
            Some(bundle) => authority_of(bundle)?,
            None => authority_in(config)?,
        },
        service_cidr,
        dns_address: dns_address(client).await?,
        kubernetes_version: format!("{}.{minor}", version.major),
    })
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

async fn dns_address(client: &Client) -> Result<std::net::IpAddr> {
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let service = services
        .get("kube-dns")
        .await
        .context("read Service kube-system/kube-dns, whose address nodes ask")?;
    let address = service
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("Service kube-system/kube-dns has no clusterIP")?;
    address
        .parse()
        .with_context(|| format!("Service kube-system/kube-dns: clusterIP {address:?} is no address"))
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
    fn a_bundle_that_is_not_base64_is_an_error_that_names_the_flag() {
        let error = authority_of("-----BEGIN").unwrap_err();
        assert!(format!("{error:#}").contains("--cluster-ca-bundle"));
    }
}
