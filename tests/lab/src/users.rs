//! Who may speak to the API server, and how a client speaks as one of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use kube::config::{
    AuthInfo, Cluster, Context as KubeContext, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use serde_json::json;

/// A user with a static token.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    groups: Vec<String>,
}

impl User {
    /// The administrator: everything is allowed.
    #[must_use]
    pub fn administrator() -> Self {
        Self { name: "administrator".to_owned(), groups: vec!["system:masters".to_owned()] }
    }

    /// A user in no group: only what roles grant to the name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), groups: Vec::new() }
    }

    /// The name that roles are bound to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The API server is on loopback and goes with the lab: a token that can be guessed gives nobody anything.
    fn token(&self) -> String {
        format!("token-of-{}", self.name.replace(':', "-"))
    }
}

/// The API server's token file: token, user, uid, groups.
#[must_use]
pub fn token_file(users: &[User]) -> String {
    users.iter().fold(String::new(), |mut file, user| {
        let _ = write!(file, "{},{},{}", user.token(), user.name, user.name);
        if !user.groups.is_empty() {
            let _ = write!(file, ",\"{}\"", user.groups.join(","));
        }
        file.push('\n');
        file
    })
}

/// Where the API server is and whom to trust.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// The authority, PEM.
    pub authority: String,
}

impl Endpoint {
    /// A kubeconfig with one context, for this user.
    pub fn kubeconfig(&self, user: &User) -> Result<Kubeconfig> {
        self.kubeconfig_with(&user.name, json!({ "token": user.token() }))
    }

    /// A kubeconfig of whoever holds this token, such as a service account's.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<Kubeconfig> {
        self.kubeconfig_with(name, json!({ "token": token }))
    }

    /// A kubeconfig of the administrator acting as somebody else.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> Result<Kubeconfig> {
        let token = User::administrator().token();
        self.kubeconfig_with(user, json!({ "token": token, "as": user, "as-groups": groups }))
    }

    fn kubeconfig_with(&self, name: &str, credentials: serde_json::Value) -> Result<Kubeconfig> {
        let authority = BASE64_STANDARD.encode(&self.authority);
        let auth_info: AuthInfo = serde_json::from_value(credentials).context("describe the credentials")?;
        Ok(Kubeconfig {
            clusters: vec![NamedCluster {
                name: "lab".to_owned(),
                cluster: Some(Cluster {
                    server: Some(self.url.clone()),
                    certificate_authority_data: Some(authority),
                    ..Cluster::default()
                }),
                other: BTreeMap::new(),
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name.to_owned(),
                auth_info: Some(auth_info),
                other: BTreeMap::new(),
            }],
            contexts: vec![NamedContext {
                name: "lab".to_owned(),
                context: Some(KubeContext {
                    cluster: "lab".to_owned(),
                    user: Some(name.to_owned()),
                    ..KubeContext::default()
                }),
                other: BTreeMap::new(),
            }],
            current_context: Some("lab".to_owned()),
            ..Kubeconfig::default()
        })
    }
}

/// A client that speaks as the kubeconfig says.
pub async fn client(kubeconfig: Kubeconfig) -> Result<kube::Client> {
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .context("read the kubeconfig")?;
    kube::Client::try_from(config).context("make a client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_file_quotes_groups_and_leaves_them_out_where_there_are_none() {
        let file = token_file(&[User::administrator(), User::named("alice")]);
        assert_eq!(
            file,
            "token-of-administrator,administrator,administrator,\"system:masters\"\n\
             token-of-alice,alice,alice\n"
        );
    }
}
