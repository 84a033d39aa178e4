//! The self-signed authority and the certificates that it signs. No I/O; `now` is an argument.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::trust::{certificates, trusts};

/// How long an authority lasts. Replacing it is an operator's act (see `certs/README.md`), so it is rare.
const AUTHORITY_YEARS: i16 = 10;
/// How long a certificate lasts.
const CERTIFICATE_DAYS: i64 = 90;
/// After so long a certificate is replaced by a new one.
const RENEWED_AFTER_DAYS: i64 = 60;

/// Why a certificate could not be made or read.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A key or certificate could not be made.
    #[error("make {0}")]
    Make(&'static str, #[source] rcgen::Error),
    /// A PEM text could not be read.
    #[error("read {0} as PEM")]
    Pem(&'static str, #[source] rustls_pki_types::pem::Error),
    /// A PEM text without what it should hold.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// The private key does not belong to the certificate, or is of an unknown kind.
    #[error("the private key does not fit the certificate")]
    KeyMismatch(#[source] tokio_rustls::rustls::Error),
    /// The authority's key is not that of its first certificate, so nobody would trust what it signs.
    #[error("the authority's key does not belong to the first certificate of its bundle")]
    NotTheSigner,
    /// A moment outside the calendar.
    #[error("{0} is no date that a certificate can carry")]
    Date(Timestamp),
}

/// A certificate authority as its Secret holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// The certificates that callers trust, PEM: the signing one first, former ones behind it while they are still in use.
    pub bundle: String,
    /// The private key of the first, PEM.
    pub key: String,
}

/// A certificate with its key, ready to be served.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, then those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// When the next one is due.
    pub renew_at: Timestamp,
}

/// A certificate with its key, PEM.
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn generate(now: Timestamp) -> Result<Self, CertificateError> {
        let key =
            KeyPair::generate().map_err(|error| CertificateError::Make("the authority's key", error))?;
        let make = |error| CertificateError::Make("the authority's certificate", error);
        let mut params = CertificateParams::new(Vec::new()).map_err(make)?;
        params.distinguished_name.push(DnType::CommonName, "treenail-webhook");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        date_validity(&mut params, now, after(now, Span::new().years(AUTHORITY_YEARS))?)?;
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self { bundle: certificate.pem(), key: key.serialize_pem() })
    }

    /// Signs a certificate for a server of these DNS names and addresses, to be served.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Certificate, CertificateError> {
        let Signed { certificate, key } = self.sign(names, now)?;
        let chain = certificates(&certificate);
        if !names.iter().all(|name| trusts(signing(&self.bundle), &chain, name, now)) {
            return Err(CertificateError::NotTheSigner);
        }
        let renewal = after(now, Span::new().days(RENEWED_AFTER_DAYS))?.to_zoned(TimeZone::UTC);
        Ok(Certificate {
            chain,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|error| CertificateError::Pem("the webhook's key", error))?,
            renew_at: renewal.map_err(|_| CertificateError::Date(now))?.timestamp(),
        })
    }

    /// Signs a certificate for a server of these DNS names and addresses, to be written to files.
    pub fn sign(&self, names: &[String], now: Timestamp) -> Result<Signed, CertificateError> {
        let make = |error| CertificateError::Make("the webhook's certificate", error);
        let authority_key = KeyPair::from_pem(&self.key)
            .map_err(|error| CertificateError::Make("use of the authority's key", error))?;
        let issuer = Issuer::from_ca_cert_pem(&self.bundle, authority_key).map_err(make)?;
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::new(names).map_err(make)?;
        params.distinguished_name.push(DnType::CommonName, "treenail-webhook");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        date_validity(&mut params, now, after(now, Span::new().days(CERTIFICATE_DAYS))?)?;
        let certificate = params.signed_by(&key, &issuer).map_err(make)?;
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Never prints the key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

/// The signing certificate of a bundle: its first.
#[must_use]
pub fn signing(bundle: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    bundle.find(END).and_then(|end| bundle.get(..end + END.len())).unwrap_or(bundle)
}

/// The day that lies so far ahead.
fn after(now: Timestamp, span: Span) -> Result<Date, CertificateError> {
    now.to_zoned(TimeZone::UTC).date().checked_add(span).map_err(|_| CertificateError::Date(now))
}

/// Certificates are dated by whole days, from the day before: a caller's clock may be behind.
fn date_validity(params: &mut CertificateParams, now: Timestamp, last: Date) -> Result<(), CertificateError> {
    let first = after(now, Span::new().days(-1))?;
    let number = |part: i8| u8::try_from(part).unwrap_or(1);
    let midnight =
        |date: Date| rcgen::date_time_ymd(date.year().into(), number(date.month()), number(date.day()));
    (params.not_before, params.not_after) = (midnight(first), midnight(last));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["treenail-webhook.treenail-system.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    #[test]
    fn an_issued_certificate_is_trusted_through_its_authority_and_no_other() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let (authority, other) = (Authority::generate(now).unwrap(), Authority::generate(now).unwrap());
        let certificate = authority.issue(&names(), now).unwrap();
        for name in names() {
            assert!(trusts(&authority.bundle, &certificate.chain, &name, now), "{name}");
        }
        assert!(!trusts(&other.bundle, &certificate.chain, "127.0.0.1", now));
        assert!(!trusts(&authority.bundle, &certificate.chain, "elsewhere.svc", now));
        assert!(trusts(
            &format!("{}{}", other.bundle, authority.bundle),
            &certificate.chain,
            "127.0.0.1",
            now
        ));
        assert!(!trusts("", &certificate.chain, "127.0.0.1", now));
    }

    #[test]
    fn a_certificate_is_renewed_well_before_it_ends() {
        let now: Timestamp = "2026-01-31T23:59:59Z".parse().unwrap();
        let authority = Authority::generate(now).unwrap();
        let certificate = authority.issue(&names(), now).unwrap();
        assert_eq!(certificate.renew_at, "2026-04-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let at =
            |text: &str| trusts(&authority.bundle, &certificate.chain, "127.0.0.1", text.parse().unwrap());
        assert!(at("2026-01-30T00:00:01Z"), "a caller whose clock is a day behind");
        assert!(at("2026-04-30T00:00:00Z"));
        assert!(!at("2026-05-03T00:00:00Z"));
    }

    #[test]
    fn broken_texts_are_errors_and_the_key_is_never_printed() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let authority = Authority::generate(now).unwrap();
        for (bundle, key) in [("", authority.key.as_str()), (authority.bundle.as_str(), ""), ("x", "x")] {
            let broken = Authority { bundle: bundle.to_owned(), key: key.to_owned() };
            assert!(broken.issue(&names(), now).is_err());
        }
        let other = Authority { key: Authority::generate(now).unwrap().key, ..authority.clone() };
        assert!(matches!(other.issue(&names(), now), Err(CertificateError::NotTheSigner)));
        assert!(!format!("{authority:?}").contains("PRIVATE"));
    }
}
