//! Keeps the webhook's certificate served and trusted: carries out [`crate::tls::plan`].
//!
//! Every replica runs it. All work from the one authority in the Secret, so whoever comes first makes the same choice as the
//! others would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use serde_json::json;

use crate::cluster::FIELD_MANAGER;
use crate::cluster::cache::{Cache, part};
use crate::cluster::write::within;
use crate::config::WebhookSettings;
use crate::lifecycle::backoff;
use crate::ports::clock::Clock;
use crate::tls::authority::Authority;
use crate::tls::files::{self, Files};
use crate::tls::plan::{Seen, Step, Stored};
use crate::tls::serving::Serving;

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
/// How long a write may take to come back through the watches before the next step is decided anyway.
const WRITE_IS_SEEN_WITHIN: Duration = Duration::from_secs(2);
/// A look at least so often, whatever was missed.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The entries of one webhook configuration: name and CA bundle.
type Bundles = BTreeMap<String, String>;

/// Keeps the certificate.
pub struct CertificateKeeper {
    client: Client,
    settings: WebhookSettings,
    serving: Arc<Serving>,
    clock: Arc<dyn Clock>,
    authority: Cache<Stored>,
    mutating: Cache<Bundles>,
    validating: Cache<Bundles>,
}

impl CertificateKeeper {
    /// A keeper of what `serving` serves.
    #[must_use]
    pub fn new(
        client: Client,
        settings: WebhookSettings,
        serving: Arc<Serving>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            settings,
            serving,
            clock,
            authority: Cache::new("Secret"),
            mutating: Cache::new("MutatingWebhookConfiguration"),
            validating: Cache::new("ValidatingWebhookConfiguration"),
        }
    }

    /// Follows the two configurations and, unless files are served, the Secret.
    pub async fn follow(self: Arc<Self>) {
        let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let configuration = only(&self.settings.configuration_name);
        let mutating = self.mutating.clone().follow(
            Api::all(self.client.clone()),
            configuration.clone(),
            part(|found: MutatingWebhookConfiguration| {
                bundles(
                    found
                        .webhooks
                        .into_iter()
                        .flatten()
                        .map(|hook| (hook.name, hook.client_config.ca_bundle)),
                )
            }),
        );
        let validating = self.validating.clone().follow(
            Api::all(self.client.clone()),
            configuration,
            part(|found: ValidatingWebhookConfiguration| {
                bundles(
                    found
                        .webhooks
                        .into_iter()
                        .flatten()
                        .map(|hook| (hook.name, hook.client_config.ca_bundle)),
                )
            }),
        );
        let authority = async {
            if self.settings.tls_directory.is_some() {
                return std::future::pending().await;
            }
            let scope = only(&self.settings.authority_secret);
            let secrets = Api::namespaced(self.client.clone(), &self.settings.common.system_namespace);
            self.authority.clone().follow(secrets, scope, part(stored)).await;
        };
        futures::join!(mutating, validating, authority);
    }

    /// Keeps the certificate for as long as it is awaited.
    pub async fn keep(self: Arc<Self>) {
        match &self.settings.tls_directory {
            Some(folder) => self.keep_files(folder).await,
            None => self.keep_authority().await,
        }
    }

    /// What keeps API servers from trusting what is served; nothing if they do. A configuration that is not there asks nobody, so it is no
    /// reason to refuse the calls of the other.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        if self.serving.chain().is_empty() {
            return Some(self.unreadable().unwrap_or_else(|| "there is no certificate yet".to_owned()));
        }
        if !self.mutating.is_synced() || !self.validating.is_synced() {
            return Some("the webhook configurations are not listed yet".to_owned());
        }
        let published = self.published();
        if published.is_empty() {
            return self.absent();
        }
        let trusted = self
            .seen(None, &published, None, &self.settings.certificate_names())
            .is_trusted(self.clock.now());
        let name = &self.settings.configuration_name;
        (!trusted).then(|| {
            format!("the CA bundles in the webhook configurations {name} do not vouch for the certificate")
        })
    }

    /// What a person should mend although calls are answered.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let notes: Vec<_> = [self.absent(), self.unreadable()].into_iter().flatten().collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// The configurations that are not there.
    fn absent(&self) -> Option<String> {
        let caches = [
            (&self.mutating, "MutatingWebhookConfiguration"),
            (&self.validating, "ValidatingWebhookConfiguration"),
        ];
        let absent = caches.into_iter().filter(|(cache, _)| cache.is_synced() && cache.all().is_empty());
        let name = &self.settings.configuration_name;
        let absent: Vec<_> = absent.map(|(_, kind)| format!("no {kind} {name}")).collect();
        (!absent.is_empty()).then(|| format!("there is {}: apply manifests/base", absent.join(" and ")))
    }

    fn unreadable(&self) -> Option<String> {
        match self.stored()?.as_ref() {
            Stored::Readable(_) => None,
            Stored::Unreadable(problem) => {
                Some(format!("Secret {}: {problem}", self.settings.authority_secret))
            }
        }
    }

    fn stored(&self) -> Option<Arc<Stored>> {
        self.authority.get(&self.settings.common.system_namespace, &self.settings.authority_secret)
    }

    async fn keep_authority(&self) {
        let (mut published_since, mut failures) = (None, 0);
        loop {
            // Subscribed before looking, so that no change is missed in between.
            let mut changes = [self.authority.changes(), self.mutating.changes(), self.validating.changes()];
            let all_synced =
                self.authority.is_synced() && self.mutating.is_synced() && self.validating.is_synced();
            let wait = if all_synced {
                self.take_step(&mut published_since, &mut failures).await
            } else {
                LOOK_EVERY
            };
            let [authority, mutating, validating] = &mut changes;
            tokio::select! {
                // All arms only wait; what they wait for is looked at again from the start.
                _ = authority.changed() => {}
                _ = mutating.changed() => {}
                _ = validating.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Takes the next step and says how long to wait for a change before the one after.
    async fn take_step(&self, published_since: &mut Option<Timestamp>, failures: &mut u32) -> Duration {
        let now = self.clock.now();
        let stored = self.stored();
        let authority = match stored.as_deref() {
            Some(Stored::Readable(authority)) => Some(authority),
            Some(Stored::Unreadable(_)) | None => None,
        };
        let published = self.published();
        let is_published = authority.is_some_and(|authority| {
            !published.is_empty() && published.iter().all(|bundle| bundle.trim() == authority.bundle.trim())
        });
        *published_since = if is_published { published_since.or(Some(now)) } else { None };
        let names = self.settings.certificate_names();
        let step = self.seen(stored.as_deref(), &published, *published_since, &names).step(now);
        let taken = match (step, authority) {
            (Step::Rest(due), _) => {
                if let Some(note) = self.note() {
                    tracing::warn!(note, "something of the webhook is missing");
                }
                let until = due.and_then(|due| Duration::try_from(due.duration_since(now)).ok());
                return until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            }
            (Step::AwaitPerson(problem), _) => {
                let secret = &self.settings.authority_secret;
                tracing::warn!(
                    secret,
                    problem,
                    "the certificate authority cannot be used; what is served stays"
                );
                return LOOK_EVERY;
            }
            (Step::CreateAuthority, _) => self.create_authority(now).await,
            (Step::Publish, Some(authority)) => self.publish(&authority.bundle).await,
            (Step::Serve, Some(authority)) => {
                let issued =
                    authority.issue(&names, now).and_then(|certificate| self.serving.serve(certificate));
                match issued {
                    Ok(()) => {
                        tracing::info!(names = names.join(","), "a new certificate is served");
                        return Duration::ZERO;
                    }
                    Err(error) => {
                        let (secret, error) = (&self.settings.authority_secret, anyhow::Error::new(error));
                        tracing::warn!(
                            secret,
                            error = format!("{error:#}"),
                            "no certificate can be signed; mend the Secret, or delete it to have a new authority made"
                        );
                        // Only another Secret changes that.
                        return LOOK_EVERY;
                    }
                }
            }
            (Step::Publish | Step::Serve, None) => return LOOK_EVERY,
        };
        let Err(error) = taken else {
            *failures = 0;
            return WRITE_IS_SEEN_WITHIN;
        };
        *failures = failures.saturating_add(1);
        let wait = WRITE_IS_SEEN_WITHIN.saturating_mul(backoff::factor(*failures)).min(LOOK_EVERY);
        tracing::warn!(
            error = format!("{error:#}"),
            "the certificate could not be brought forward; it is tried again in {} s",
            wait.as_secs()
        );
        wait
    }

    async fn keep_files(&self, folder: &std::path::Path) {
        let (mut served, mut told): (Option<Files>, Option<String>) = (None, None);
        loop {
            match self.serve_files(folder, &mut served).await {
                Ok(()) => told = None,
                // Looked at every second at first, and told once for each problem.
                Err(error) => {
                    let problem = format!("{error:#}");
                    if told.as_ref() == Some(&problem) {
                        tracing::debug!("the problem with the files stays");
                    } else {
                        let state = if served.is_some() {
                            "the certificate before stays"
                        } else {
                            "nothing is served yet"
                        };
                        tracing::warn!(error = problem, "the files are not served; {state}");
                    }
                    told = Some(problem);
                }
            }
            let wait = if served.is_some() { files::READ_EVERY } else { Duration::from_secs(1) };
            tokio::time::sleep(wait).await;
        }
    }

    /// Serves what the files hold, if that is something else than before.
    async fn serve_files(&self, folder: &std::path::Path, served: &mut Option<Files>) -> anyhow::Result<()> {
        let read = Files::read(folder).await?;
        if served.as_ref() != Some(&read) {
            self.serving.serve(read.certificate()?)?;
            tracing::info!(folder = %folder.display(), "a new certificate is served");
            *served = Some(read);
        }
        Ok(())
    }

    async fn create_authority(&self, now: Timestamp) -> anyhow::Result<()> {
        let authority = Authority::generate(now)?;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.settings.authority_secret.clone()),
                ..ObjectMeta::default()
            },
            string_data: Some(BTreeMap::from([
                (CERTIFICATE.to_owned(), authority.bundle),
                (KEY.to_owned(), authority.key),
            ])),
            ..Secret::default()
        };
        match within(self.secrets().create(&PostParams::default(), &secret)).await {
            Ok(_) => {
                tracing::info!(secret = self.settings.authority_secret, "a certificate authority was made");
            }
            // Another replica was first; its authority comes through the watch.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn publish(&self, bundle: &str) -> anyhow::Result<()> {
        let name = &self.settings.configuration_name;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        // Only the bundle is ours: whoever applied the configuration keeps everything else.
        let patch = |kind: &str, cache: &Cache<Bundles>| {
            let entries = cache.get("", name);
            let entries = entries.iter().flat_map(|entries| entries.keys());
            let bundle = ByteString(bundle.as_bytes().to_vec());
            let webhooks: Vec<_> = entries
                .map(|entry| json!({ "name": entry, "clientConfig": { "caBundle": bundle } }))
                .collect();
            Patch::Apply(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": { "name": name }, "webhooks": webhooks,
            }))
        };
        if self.mutating.get("", name).is_some() {
            let api = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
            within(api.patch(name, &params, &patch("MutatingWebhookConfiguration", &self.mutating))).await?;
        }
        if self.validating.get("", name).is_some() {
            let api = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
            within(api.patch(name, &params, &patch("ValidatingWebhookConfiguration", &self.validating)))
                .await?;
        }
        tracing::info!(configuration = name, "the CA bundle was published");
        Ok(())
    }

    fn seen<'a>(
        &self,
        authority: Option<&'a Stored>,
        published: &'a [String],
        published_since: Option<Timestamp>,
        names: &'a [String],
    ) -> Seen<'a> {
        Seen {
            authority,
            published,
            published_since,
            chain: self.serving.chain(),
            renew_at: self.serving.renew_at(),
            name: names.first().map_or("", String::as_str),
        }
    }

    /// The bundle of every entry of both configurations.
    fn published(&self) -> Vec<String> {
        let configurations = [self.mutating.all(), self.validating.all()];
        configurations.iter().flatten().flat_map(|entries| entries.values().cloned()).collect()
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.settings.common.system_namespace)
    }
}

fn bundles(entries: impl Iterator<Item = (String, Option<ByteString>)>) -> Bundles {
    let text =
        |bundle: Option<ByteString>| String::from_utf8_lossy(&bundle.unwrap_or_default().0).into_owned();
    entries.map(|(name, bundle)| (name, text(bundle))).collect()
}

fn stored(secret: Secret) -> Stored {
    let mut data = secret.data.unwrap_or_default();
    let mut text = |key: &str| data.remove(key).and_then(|value| String::from_utf8(value.0).ok());
    match (text(CERTIFICATE), text(KEY)) {
        (Some(bundle), Some(key)) => Stored::Readable(Authority { bundle, key }),
        _ => Stored::Unreadable("it needs ca.crt and ca.key; delete it to have a new authority made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_without_certificate_or_key_is_there_and_unreadable() {
        let secret = |keys: &[&str]| Secret {
            data: Some(keys.iter().map(|key| ((*key).to_owned(), ByteString(b"pem".to_vec()))).collect()),
            ..Secret::default()
        };
        assert!(matches!(stored(secret(&["ca.crt", "ca.key", "more"])), Stored::Readable(_)));
        for keys in [&["ca.crt"][..], &["ca.key"], &["tls.crt", "tls.key"], &[]] {
            assert!(matches!(stored(secret(keys)), Stored::Unreadable(_)), "{keys:?}");
        }
        let mut binary = secret(&["ca.crt", "ca.key"]);
        binary.data.as_mut().unwrap().insert("ca.key".to_owned(), ByteString(vec![0xff]));
        assert!(matches!(stored(binary), Stored::Unreadable(_)));
    }
}
