//! The webhook's certificate: who signs it, how it is served, and whether the API server trusts it.
//!
//! A self-signed authority lives in a Secret that all replicas share; each signs a certificate of its own in memory, so no
//! private key but the authority's is ever stored. The authority's bundle is published in the webhook configurations.
//! With a folder of files instead (cert-manager), the files are served and nothing is published here.

pub mod authority;
pub mod files;
pub mod plan;
pub mod serving;
pub mod trust;
