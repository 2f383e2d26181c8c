//! Which certificate a client is shown.
//!
//! rustls asks once for each handshake that resumes nothing. The certificates of a listener never change, but what is
//! behind each of them does (`renewal`), and whoever asks is given what is there now.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{ACME_TLS, Challenges, Identity};
use crate::base::live::Live;

/// What one listener shows.
#[derive(Debug)]
pub(super) struct Resolver {
    /// In their order; at least one.
    identities: Vec<Live<Option<Identity>>>,
    /// Of those tables that have TLS-ALPN-01.
    challenges: Vec<Challenges>,
}

impl Resolver {
    pub(super) const fn new(
        identities: Vec<Live<Option<Identity>>>,
        challenges: Vec<Challenges>,
    ) -> Self {
        Self {
            identities,
            challenges,
        }
    }

    /// The first that is for this name; else, and for who says none, the first. What is not there yet is passed over.
    fn choose(&self, name: Option<&str>) -> Option<Identity> {
        let there = || {
            let all = self.identities.iter();
            all.filter_map(|live| (*live.load()).clone())
        };
        let for_name = |name| there().find(|identity| identity.is_for(name));
        let chosen = name.and_then(for_name);
        chosen.or_else(|| there().next())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Who looks says nothing else (RFC 8737, section 3). What is not looked for now is shown to nobody: else anyone
        // could have handshakes that lead nowhere.
        let looks = hello.alpn().is_some_and(|mut protocols| {
            protocols.next() == Some(ACME_TLS) && protocols.next().is_none()
        });
        if looks && !self.challenges.is_empty() {
            let name = hello.server_name()?;
            let mut all = self.challenges.iter();
            return all.find_map(|challenges| challenges.certificate(name));
        }
        let chosen = self.choose(hello.server_name())?;
        Some(chosen.certified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Chain, Key};

    fn identity(names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let chain = Chain::from_pem(&made.cert.pem()).unwrap();
        let key = Key::from_pem(&made.signing_key.serialize_pem()).unwrap();
        Identity::new(chain, key).unwrap()
    }

    #[test]
    fn the_first_that_fits_is_chosen_and_else_the_first() {
        let (main, shop, all) = (
            Live::new(Some(identity(&["site.test", "www.site.test"]))),
            Live::new(Some(identity(&["shop.test"]))),
            Live::new(Some(identity(&["*.shop.test", "*.site.test"]))),
        );
        let listed = vec![main.clone(), shop.clone(), all.clone()];
        let resolver = Resolver::new(listed, Vec::new());
        let is = |name, expected: &Live<Option<Identity>>| {
            let chosen = resolver.choose(name).unwrap();
            let expected = (*expected.load()).clone().unwrap();
            assert!(chosen.is_same(&expected), "{name:?}");
        };
        is(Some("site.test"), &main);
        is(Some("shop.test"), &shop);
        // What is named and what a star stands for: the order decides.
        is(Some("www.site.test"), &main);
        is(Some("a.site.test"), &all);
        is(Some("a.shop.test"), &all);
        is(Some("a.b.shop.test"), &main);
        is(Some("other.test"), &main);
        is(None, &main);

        shop.set(Some(identity(&["store.test"])));
        is(Some("store.test"), &shop);
        is(Some("shop.test"), &main);

        // While the first is not there, the next stands in for it; while none is, nobody is shown any.
        main.set(None);
        is(Some("site.test"), &shop);
        is(None, &shop);
        shop.set(None);
        all.set(None);
        assert!(resolver.choose(Some("site.test")).is_none());
    }
}
