//! What is said to those who look whether a name is ours, before they sign a certificate for it.
//!
//! `acme` puts answers here while it has an order, and takes them away with its end. `proxy` says the ones of HTTP-01 (RFC
//! 8555, section 8.3), the resolver shows those of TLS-ALPN-01 (RFC 8737). Bound: one answer for each name of the table.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::base::live::Live;

/// What ALPN calls a handshake that is only there to look (RFC 8737, section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Where HTTP-01 looks; the token follows.
const FOLDER: &str = "/.well-known/acme-challenge/";

/// How it is looked whether a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a request without TLS.
    Http01,
    /// By a handshake.
    TlsAlpn01,
}

/// The answers of one table. Cheap to clone.
#[derive(Clone)]
pub struct Challenges(Arc<Answers>);

struct Answers {
    /// By token.
    texts: Live<HashMap<String, String>>,
    /// By name.
    certificates: Live<HashMap<String, Arc<CertifiedKey>>>,
}

/// Those of one order; they go with it.
#[derive(Debug)]
#[must_use = "the answers go with it"]
pub struct Round(Challenges);

impl Challenges {
    /// None are there.
    pub fn new() -> Self {
        Self(Arc::new(Answers {
            texts: Live::new(HashMap::new()),
            certificates: Live::new(HashMap::new()),
        }))
    }

    /// The beginning of an order; there is one at a time.
    pub fn begin(&self) -> Round {
        Round(self.clone())
    }

    /// What is to be said at this path, if it is looked at now.
    pub fn text(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(FOLDER)?;
        self.0.texts.load().get(token).cloned()
    }

    /// What is shown to who looks for this name.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.certificates.load();
        certificates.get(&name.to_ascii_lowercase()).map(Arc::clone)
    }
}

impl Default for Challenges {
    fn default() -> Self {
        Self::new()
    }
}

impl Round {
    /// Has `answer` said to who asks for `token`.
    pub fn say(&self, token: &str, answer: &str) {
        let mut texts = (*self.0.0.texts.load()).clone();
        texts.insert(token.to_owned(), answer.to_owned());
        self.0.0.texts.set(texts);
    }

    /// Has a certificate shown for `name` that holds `digest`; false if `name` is none.
    pub fn show(&self, name: &str, digest: &[u8]) -> bool {
        let Some(made) = made(name, digest) else {
            return false;
        };
        let mut certificates = (*self.0.0.certificates.load()).clone();
        certificates.insert(name.to_ascii_lowercase(), made);
        self.0.0.certificates.set(certificates);
        true
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.0.0.texts.set(HashMap::new());
        self.0.0.certificates.set(HashMap::new());
    }
}

/// The certificate of RFC 8737, section 3. It is no `Identity`: its extension is critical and known to nobody else.
fn made(name: &str, digest: &[u8]) -> Option<Arc<CertifiedKey>> {
    // Longer ones are not of SHA-256, which the extension needs.
    if digest.len() != 32 {
        return None;
    }
    let mut params = CertificateParams::new([name.to_owned()]).ok()?;
    let extension = CustomExtension::new_acme_identifier(digest);
    params.custom_extensions = vec![extension];
    let key = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&key).ok()?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key).ok()?;
    let chain = vec![certificate.der().clone()];
    Some(Arc::new(CertifiedKey::new(chain, key)))
}

impl fmt::Debug for Challenges {
    /// Without the answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_there_for_one_order() {
        let challenges = Challenges::new();
        let at = |token: &str| challenges.text(&format!("{FOLDER}{token}"));
        let round = challenges.begin();
        round.say("one", "1");
        round.say("two", "2");
        assert!(round.show("Site.Test", &[7; 32]));
        assert!(!round.show("site.test", &[7; 31]));
        assert_eq!(
            (at("one").as_deref(), at("two").as_deref()),
            (Some("1"), Some("2"))
        );
        assert_eq!(
            (at(""), at("three"), at("one/"), at("One")),
            (None, None, None, None)
        );
        assert_eq!(challenges.text("one"), None);
        assert!(challenges.certificate("SITE.test").is_some());
        assert!(challenges.certificate("www.site.test").is_none());
        drop(round);
        assert_eq!(at("one"), None);
        assert!(challenges.certificate("site.test").is_none());
    }
}
