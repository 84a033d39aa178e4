//! The cluster's certificate authority, the API server's certificate and the key that signs service account tokens.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// PEM texts of one cluster.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that clients of the API server trust.
    pub authority: String,
    /// The API server's certificate.
    pub server: String,
    /// Its private key.
    pub server_key: String,
    /// The key that signs service account tokens.
    pub service_account_key: String,
    /// The public half, which checks them.
    pub service_account_public_key: String,
}

impl Certificates {
    /// Makes an authority and what it signs; all are thrown away with the cluster.
    pub fn generate(server_names: &[String]) -> Result<Self> {
        let authority_key = KeyPair::generate().context("generate the authority's key")?;
        let mut authority = CertificateParams::new(Vec::new()).context("describe the authority")?;
        authority.distinguished_name.push(DnType::CommonName, "lab");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_certificate = authority.self_signed(&authority_key).context("sign the authority")?;
        let issuer = Issuer::new(authority, authority_key);

        let server_key = KeyPair::generate().context("generate the server's key")?;
        let mut server = CertificateParams::new(server_names).context("describe the server's certificate")?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_certificate =
            server.signed_by(&server_key, &issuer).context("sign the server's certificate")?;

        let service_account_key = KeyPair::generate().context("generate the service account key")?;
        Ok(Self {
            authority: authority_certificate.pem(),
            server: server_certificate.pem(),
            server_key: server_key.serialize_pem(),
            service_account_key: service_account_key.serialize_pem(),
            service_account_public_key: service_account_key.public_key_pem(),
        })
    }
}
