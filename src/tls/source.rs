//! Where a certificate comes from: files, ourselves, or somebody who looks whether its names are ours (ACME).
//!
//! `config` reads it, `app` has what comes from ourselves made before it listens.

use std::fmt;
use std::path::PathBuf;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::{InvalidDnsNameError, ServerName};

use super::{Chain, Challenge, Challenges, Client, Files, Identity, Key};

/// How long a certificate is good that we have made ourselves.
const LIFE: jiff::SignedDuration = jiff::SignedDuration::from_hours(90 * 24);

/// Where the certificate of a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `cert` and `key`.
    Files(Files),
    /// `self_signed`.
    SelfSigned(SelfSigned),
    /// `acme`.
    Acme(Box<Acme>),
}

/// `acme` of a table.
#[derive(Debug, Clone)]
pub struct Acme {
    /// The names of the certificate, in lower case: at least one.
    pub domains: Vec<String>,
    /// Whom to tell of trouble: a `mailto:`. Default nobody.
    pub contact: Option<String>,
    /// The folder in which the account and the certificates are.
    pub cache: PathBuf,
    /// Where the server says what it can: a URL of https. Default that of Let's Encrypt.
    pub directory: String,
    /// The one challenge to use. Unset: whichever a listener can answer.
    pub challenge: Option<Challenge>,
    /// What ties the account to one that there is already. Default nothing.
    pub external_account: Option<ExternalAccount>,
    /// What the server is spoken to with. Whom it trusts is `ca`, by default the roots of the machine.
    pub client: Client,
    /// What is said to who looks.
    pub challenges: Challenges,
}

/// Two are the same whatever is being looked for.
impl PartialEq for Acme {
    fn eq(&self, other: &Self) -> bool {
        self.domains == other.domains
            && self.contact == other.contact
            && self.cache == other.cache
            && self.directory == other.directory
            && self.challenge == other.challenge
            && self.external_account == other.external_account
            && self.client == other.client
    }
}

impl Eq for Acme {}

/// `external_account` (RFC 8555, section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Which it is.
    pub key_id: String,
    /// The secret.
    pub hmac: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExternalAccount")
            .field(&self.key_id)
            .finish()
    }
}

/// The names for which we make a certificate that only itself has signed: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned(Vec<ServerName<'static>>);

impl SelfSigned {
    /// For these; `None` if there are none.
    pub fn new(names: Vec<ServerName<'static>>) -> Option<Self> {
        (!names.is_empty()).then_some(Self(names))
    }

    /// A name of DNS, without a star, or an address.
    pub fn name(text: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        ServerName::try_from(text.to_owned())
    }

    /// As they are written.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|name| name.to_str().into_owned())
    }

    /// A new certificate with a new key.
    pub fn make(&self) -> Identity {
        // An address becomes one in the certificate too: browsers look there for it.
        let mut params = CertificateParams::new(self.names().collect::<Vec<_>>())
            .expect("names and addresses are checked");
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "Tidegate, self-signed");
        params.distinguished_name = subject;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // An hour before now, for clocks that are slow.
        let now = jiff::Timestamp::now();
        let begin = now - jiff::SignedDuration::from_hours(1);
        params.not_before = std::time::SystemTime::from(begin).into();
        params.not_after = std::time::SystemTime::from(now + LIFE).into();
        let key = KeyPair::generate().expect("the operating system gives random bytes");
        let certificate = params.self_signed(&key).expect("all of it was set here");
        let chain = Chain::from_pem(&certificate.pem()).expect("it was just made");
        let key = Key::from_pem(&key.serialize_pem()).expect("it was just made");
        Identity::new(chain, key).expect("they were made for each other")
    }
}

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::tls::Standing;

    #[test]
    fn a_certificate_of_our_own_is_for_its_names_and_good_for_a_while() {
        let named = ["localhost", "site.test", "127.0.0.1", "::1"];
        let names = named.map(|name| SelfSigned::name(name).unwrap());
        let source = SelfSigned::new(names.to_vec()).unwrap();
        assert_eq!(source.to_string(), "localhost, site.test, 127.0.0.1, ::1");
        let (made, again) = (source.make(), source.make());
        assert!(made.is_for("localhost") && made.is_for("site.test"));
        assert!(!made.is_for("other.test"));
        assert_eq!(made.validity().at(Timestamp::now()), Standing::Good);
        assert!(!made.is_same(&again));
        assert!(SelfSigned::new(Vec::new()).is_none());
        for wrong in ["*.site.test", "", "a b", "https://site.test"] {
            assert!(SelfSigned::name(wrong).is_err(), "{wrong}");
        }
    }
}
