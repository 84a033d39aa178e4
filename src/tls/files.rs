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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tls::authority::Authority;

    /// Puts a new certificate there as a kubelet does: a new folder, and a link that is renamed over the former.
    fn swap(folder: &Path, version: &str) {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let signed = Authority::generate(now).unwrap().sign(&["a.svc".to_owned()], now).unwrap();
        let versioned = folder.join(version);
        std::fs::create_dir(&versioned).unwrap();
        std::fs::write(versioned.join("tls.crt"), signed.certificate).unwrap();
        std::fs::write(versioned.join("tls.key"), signed.key).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn files_behind_a_link_that_is_swapped_are_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        swap(folder.path(), "..1");
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
        }
        let first = Files::read(folder.path()).await.unwrap();
        assert_eq!(Files::read(folder.path()).await.unwrap(), first);
        swap(folder.path(), "..2");
        let second = Files::read(folder.path()).await.unwrap();
        assert_ne!(second, first);
        assert_ne!(second.certificate().unwrap().chain, first.certificate().unwrap().chain);
        std::fs::remove_file(folder.path().join("tls.key")).unwrap();
        let error = Files::read(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("tls.key"), "{error}");
    }
}
