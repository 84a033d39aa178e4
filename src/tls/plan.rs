//! What has to be done about the authority and the certificate, decided from what is seen. Pure.
//!
//! The order keeps every call alive: a bundle is published before anything is served that only it can vouch for, and API
//! servers get time to take it up. Replacing an authority is an operator's act: the new certificate and key go into the
//! Secret with the former certificate behind the new one; every replica follows.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::authority::{Authority, signing};
use super::trust::trusts;

/// How long API servers may take until they use a bundle that was published.
pub const TAKEN_UP_AFTER: Duration = Duration::from_mins(1);

/// The authority, as its Secret holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It can be used.
    Readable(Authority),
    /// The Secret is there and holds no authority: what is wrong with it, and what to do. It is somebody's, so it is not written over.
    Unreadable(&'static str),
}

/// What is seen.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The authority in the Secret; nothing while there is none.
    pub authority: Option<&'a Stored>,
    /// The bundles in the webhook configurations, one for each entry; empty while the configurations are not seen.
    pub published: &'a [String],
    /// Since when every entry has held the authority's bundle.
    pub published_since: Option<Timestamp>,
    /// The chain that is being served; empty before the first.
    pub chain: Vec<CertificateDer<'static>>,
    /// When the next certificate is due.
    pub renew_at: Option<Timestamp>,
    /// A name that the API server calls by.
    pub name: &'a str,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Make an authority and put it in the Secret.
    CreateAuthority,
    /// Write the authority's bundle into every entry of the configurations.
    Publish,
    /// Sign a certificate and serve it.
    Serve,
    /// Nothing: a person has to mend the Secret. What is served stays.
    AwaitPerson(&'static str),
    /// Nothing before this moment, unless something changes.
    Rest(Option<Timestamp>),
}

impl Seen<'_> {
    /// Whether every API server that has taken up what is published accepts what is served.
    #[must_use]
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        !self.published.is_empty()
            && self.published.iter().all(|bundle| trusts(bundle, &self.chain, self.name, now))
    }

    /// The next step.
    #[must_use]
    pub fn step(&self, now: Timestamp) -> Step {
        let authority = match self.authority {
            None => return Step::CreateAuthority,
            Some(Stored::Unreadable(problem)) => return Step::AwaitPerson(problem),
            Some(Stored::Readable(authority)) => authority,
        };
        if self.chain.is_empty() {
            // Nothing is served yet, so nobody can be cut off.
            return Step::Serve;
        }
        if self.published.iter().any(|bundle| bundle.trim() != authority.bundle.trim()) {
            return Step::Publish;
        }
        let is_ours = trusts(signing(&authority.bundle), &self.chain, self.name, now);
        if !is_ours && !self.published.is_empty() && !self.is_trusted(now) {
            // The former authority is not vouched for any more (its Secret was deleted, say): waiting would only prolong the
            // outage.
            return Step::Serve;
        }
        let due =
            if is_ours { self.renew_at } else { self.published_since.map(|since| since + TAKEN_UP_AFTER) };
        match due {
            Some(due) if due <= now => Step::Serve,
            due => Step::Rest(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "treenail-webhook.treenail-system.svc";

    fn stored(authority: &Authority) -> Stored {
        Stored::Readable(authority.clone())
    }

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn chain(authority: &Authority) -> (Vec<CertificateDer<'static>>, Option<Timestamp>) {
        let certificate = authority.issue(&[NAME.to_owned()], now()).unwrap();
        (certificate.chain, Some(certificate.renew_at))
    }

    #[test]
    fn a_first_start_makes_an_authority_serves_and_publishes() {
        let authority = Authority::generate(now()).unwrap();
        let nothing = Seen {
            authority: None,
            published: &[],
            published_since: None,
            chain: Vec::new(),
            renew_at: None,
            name: NAME,
        };
        assert_eq!(nothing.step(now()), Step::CreateAuthority);
        let unreadable = Stored::Unreadable("mend it");
        let broken = Seen { authority: Some(&unreadable), ..nothing.clone() };
        assert_eq!(broken.step(now()), Step::AwaitPerson("mend it"));
        let stored = stored(&authority);
        assert_eq!(Seen { authority: Some(&stored), ..nothing.clone() }.step(now()), Step::Serve);

        let (chain, renew_at) = chain(&authority);
        let empty = [String::new(), String::new()];
        let served = Seen {
            authority: Some(&stored),
            published: &empty,
            published_since: None,
            chain: chain.clone(),
            renew_at,
            name: NAME,
        };
        assert_eq!(served.step(now()), Step::Publish);
        assert!(!served.is_trusted(now()));

        let published = [authority.bundle.clone(), authority.bundle.clone()];
        let done = Seen { published: &published, published_since: Some(now()), ..served.clone() };
        assert_eq!(done.step(now()), Step::Rest(renew_at));
        assert!(done.is_trusted(now()));
        assert_eq!(done.step(renew_at.unwrap()), Step::Serve);
    }

    #[test]
    fn a_new_authority_is_published_and_taken_up_before_its_certificate_is_served() {
        let (old, new) = (Authority::generate(now()).unwrap(), Authority::generate(now()).unwrap());
        let both = Authority { bundle: format!("{}{}", new.bundle, old.bundle), key: new.key };
        let (chain, renew_at) = chain(&old);
        let before = [old.bundle.clone()];
        let stored = stored(&both);
        let seen = Seen {
            authority: Some(&stored),
            published: &before,
            published_since: None,
            chain: chain.clone(),
            renew_at,
            name: NAME,
        };
        assert_eq!(seen.step(now()), Step::Publish);
        assert!(seen.is_trusted(now()));

        let after = [both.bundle.clone()];
        let seen = Seen { published: &after, published_since: Some(now()), ..seen.clone() };
        assert_eq!(seen.step(now()), Step::Rest(Some(now() + TAKEN_UP_AFTER)));
        assert!(seen.is_trusted(now()));
        assert_eq!(seen.step(now() + TAKEN_UP_AFTER), Step::Serve);
    }

    #[test]
    fn an_authority_that_was_replaced_without_the_former_one_is_served_as_soon_as_it_is_published() {
        let (old, new) = (Authority::generate(now()).unwrap(), Authority::generate(now()).unwrap());
        let (chain, renew_at) = chain(&old);
        let published = [new.bundle.clone()];
        let stored = stored(&new);
        let seen = Seen {
            authority: Some(&stored),
            published: &published,
            published_since: Some(now()),
            chain,
            renew_at,
            name: NAME,
        };
        assert_eq!(seen.step(now()), Step::Serve);
    }

    #[test]
    fn a_bundle_that_somebody_emptied_is_published_again() {
        let authority = Authority::generate(now()).unwrap();
        let (chain, renew_at) = chain(&authority);
        let stored = stored(&authority);
        let published = [authority.bundle.clone(), String::new()];
        let seen = Seen {
            authority: Some(&stored),
            published: &published,
            published_since: None,
            chain: chain.clone(),
            renew_at,
            name: NAME,
        };
        assert_eq!(seen.step(now()), Step::Publish);
        assert!(!seen.is_trusted(now()));
    }
}
