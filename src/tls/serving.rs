//! The certificate that is being served, which can be swapped while connections come in.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::authority::{Certificate, CertificateError};

/// The current certificate, shared between whoever renews it and every handshake.
#[derive(Debug, Default)]
pub struct Serving {
    current: ArcSwapOption<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl Serving {
    /// Serves this certificate from the next handshake on. A key that does not fit is refused, and the current one stays.
    pub fn serve(&self, certificate: Certificate) -> Result<(), CertificateError> {
        let provider = aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(certificate.chain, certificate.key, &provider)
            .map_err(CertificateError::KeyMismatch)?;
        self.current.store(Some(Arc::new(Current { key: Arc::new(key), renew_at: certificate.renew_at })));
        Ok(())
    }

    /// The chain being served; nothing before the first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.load().as_ref().map(|current| current.key.cert.clone()).unwrap_or_default()
    }

    /// When the next certificate is due; nothing before the first.
    #[must_use]
    pub fn renew_at(&self) -> Option<Timestamp> {
        self.current.load().as_ref().map(|current| current.renew_at)
    }

    /// TLS settings that look the certificate up at each handshake: TLS 1.2 and 1.3, HTTP/1.1.
    pub fn tls_settings(self: &Arc<Self>) -> Result<ServerConfig, CertificateError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut settings = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::KeyMismatch)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(settings)
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_ref().map(|current| Arc::clone(&current.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::authority::Authority;

    #[test]
    fn a_key_that_does_not_fit_is_refused_and_the_current_certificate_stays() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let authority = Authority::generate(now).unwrap();
        let issue = || authority.issue(&["a.svc".to_owned()], now).unwrap();
        let serving = Serving::default();
        assert!(serving.chain().is_empty());

        let first = issue();
        let chain = first.chain.clone();
        serving.serve(first).unwrap();
        let (mut mixed, other) = (issue(), issue());
        mixed.key = other.key;
        assert!(matches!(serving.serve(mixed), Err(CertificateError::KeyMismatch(_))));
        assert_eq!(serving.chain(), chain);
    }
}
