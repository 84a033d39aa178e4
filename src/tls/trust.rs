//! Whether a caller that trusts a bundle accepts a certificate, asked of the same code that such a caller would run.

use std::sync::Arc;

use jiff::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// The certificates of a PEM text; what is not a certificate is passed over.
#[must_use]
pub fn certificates(bundle: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok).collect()
}

/// Whether a caller that trusts `bundle` (PEM) accepts `chain` for a server of this DNS name or address at `now`.
#[must_use]
pub fn trusts(bundle: &str, chain: &[CertificateDer<'_>], name: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(bundle));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let (Some((certificate, between)), Ok(name)) = (chain.split_first(), ServerName::try_from(name)) else {
        return false;
    };
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_server_cert(certificate, between, &name, &[], now).is_ok()
}
