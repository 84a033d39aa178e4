//! A certificate from files, as cert-manager or a person puts them in a mounted folder.
//!
//! The files are read again by content: Kubernetes swaps a symlink above them, which a watch on the files would miss.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::authority::{Certificate, CertificateError};
use super::trust::certificates;

/// How often the folder is looked at.
pub const READ_EVERY: Duration = Duration::from_secs(30);

/// The two files of a TLS Secret that is mounted as a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    certificate: String,
    key: String,
}

impl Files {
    /// Reads `tls.crt` and `tls.key`.
    pub async fn read(folder: &Path) -> std::io::Result<Self> {
        let read = async |name: &str| {
            let path: PathBuf = folder.join(name);
            let text = tokio::fs::read_to_string(&path).await;
            text.map_err(|error| {
                std::io::Error::new(error.kind(), format!("read {}: {error}", path.display()))
            })
        };
        Ok(Self { certificate: read("tls.crt").await?, key: read("tls.key").await? })
    }

    /// What is to be served. Whoever writes the files renews them, so none is ever due here.
    pub fn certificate(&self) -> Result<Certificate, CertificateError> {
        let chain = certificates(&self.certificate);
        if chain.is_empty() {
            return Err(CertificateError::Empty("tls.crt"));
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|error| CertificateError::Pem("tls.key", error))?;
        Ok(Certificate { chain, key, renew_at: Timestamp::MAX })
    }
}
