//! `acme` of `[tls.*]`: a certificate that is ordered, and whether any listener can prove that its names are ours.

use std::path::PathBuf;

use http::Uri;
use rustls::pki_types::ServerName;

use super::reader::{Section, Value};
use super::scalar::Text;
use super::tls::pem;
use super::token::is_masked;
use crate::acme::hmac;
use crate::server::{Address, Listen, Role};
use crate::tls::{
    Acme, Challenge, Challenges, Client, ClientFiles, ExternalAccount, Roots, Settings,
};

/// The words of `challenge`.
pub(super) const CHALLENGES: [(&str, Challenge); 2] = [
    ("http-01", Challenge::Http01),
    ("tls-alpn-01", Challenge::TlsAlpn01),
];

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// As many names as Let's Encrypt signs at once.
const MOST_DOMAINS: usize = 100;

/// Reads the table.
pub(super) fn acme(value: &Value<'_>) -> Option<Acme> {
    value
        .table("tls.*.acme", |section| {
            let domains = domains(section);
            let contact = section.text("contact").map(|text| contact(&text));
            let cache = section.required("cache").and_then(|value| value.text());
            let directory = section.text("directory").map(|text| directory(&text));
            let ca = section.text("ca");
            let roots = ca.as_ref().map_or_else(
                || {
                    let hint = "as in ca = \"/etc/ssl/private-ca.pem\"".to_owned();
                    let tell = |error: &dyn ToString| value.problem(error.to_string(), Some(hint));
                    Roots::of_machine().map_err(|error| tell(&error)).ok()
                },
                |file| pem(file, section, Roots::from_pem),
            );
            let challenge = section.choice("challenge", &CHALLENGES);
            let external = section.value("external_account");
            let external = external.map(|value| external_account(&value));
            // What is wrong must not become what is not there.
            let files = ClientFiles {
                ca: ca.map(|file| PathBuf::from(file.value)),
                ..ClientFiles::default()
            };
            Some(Acme {
                domains: domains?,
                contact: contact.map_or(Some(None), |contact| contact.map(Some))?,
                cache: PathBuf::from(cache?.value),
                directory: directory.unwrap_or_else(|| Some(DIRECTORY.to_owned()))?,
                challenge,
                external_account: external.map_or(Some(None), |external| external.map(Some))?,
                client: Client::new(files, roots?, None),
                challenges: Challenges::new(),
            })
        })
        .flatten()
}

fn domains(section: &mut Section<'_>) -> Option<Vec<String>> {
    let value = section.required("domains")?;
    if value.is_empty_list() {
        let hint = "as in domains = [\"example.com\"]".to_owned();
        value.problem("a certificate has at least one name", Some(hint));
        return None;
    }
    let texts = value.texts()?;
    if texts.len() > MOST_DOMAINS {
        let message = format!("a certificate has at most {MOST_DOMAINS} names");
        value.problem(message, None);
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for text in &texts {
        let Some(name) = domain(text) else { continue };
        if names.contains(&name) {
            text.problem(format!("{} is there twice", text.written()), None);
        }
        names.push(name);
    }
    (!names.is_empty()).then_some(names)
}

fn domain(text: &Text<'_>) -> Option<String> {
    let name = text.value.to_ascii_lowercase();
    if name.starts_with("*.") {
        let hint = "have it made by another program, and name its files with `cert` and `key`";
        let message = "a name with a star needs DNS-01, which is not spoken here";
        text.problem(message, Some(hint.to_owned()));
        return None;
    }
    match ServerName::try_from(name.clone()) {
        Ok(ServerName::DnsName(_)) if name.contains('.') && !name.ends_with('.') => Some(name),
        Ok(ServerName::IpAddress(_)) => {
            text.problem("an address gets no certificate here, only names do", None);
            None
        }
        _ => {
            let hint = "as in \"www.example.com\"; letters beyond ASCII as \"xn--…\"".to_owned();
            text.problem(
                format!("{} is no name of a host", text.written()),
                Some(hint),
            );
            None
        }
    }
}

fn contact(text: &Text<'_>) -> Option<String> {
    let address = text.value.strip_prefix("mailto:").unwrap_or(&text.value);
    let parts = address.split_once('@');
    let is_good = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && address
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',');
    if !is_good {
        let hint = "as in \"ops@example.com\"".to_owned();
        text.problem(format!("{} is no mail address", text.written()), Some(hint));
        return None;
    }
    Some(format!("mailto:{address}"))
}

fn directory(text: &Text<'_>) -> Option<String> {
    let uri = text.value.parse::<Uri>().ok();
    let is_https = |uri: &Uri| uri.scheme_str() == Some("https") && uri.authority().is_some();
    if !uri.as_ref().is_some_and(is_https) {
        let message = format!("{} is no address of https", text.written());
        text.problem(message, Some(format!("as in {DIRECTORY:?}")));
        return None;
    }
    Some(text.value.clone())
}

fn external_account(value: &Value<'_>) -> Option<ExternalAccount> {
    value
        .table("tls.*.acme.external_account", |section| {
            let key_id = section.required("key_id").and_then(|value| value.text());
            let secret = section.required("hmac").and_then(|value| value.text());
            let secret = secret.filter(|text| !is_masked(text))?;
            // Without the text: it is a secret.
            let bytes = hmac(&secret.value).ok().filter(|bytes| !bytes.is_empty());
            if bytes.is_none() {
                secret.problem("a key in base64 is needed", None);
            }
            Some(ExternalAccount {
                key_id: key_id?.value,
                hmac: bytes?,
            })
        })
        .flatten()
}

/// How it can be looked whether the names of this table are ours, what is best first. By HTTP the authority comes to port
/// 80, by a handshake to 443; which listener that leads to is not known here.
pub fn ways(settings: &Settings, listen: &[Listen]) -> Vec<Challenge> {
    let Some(acme) = settings.acme() else {
        return Vec::new();
    };
    let is_plain = |listen: &Listen| listen.role == Role::Public && listen.tls.is_empty();
    let has_it = |listen: &Listen| {
        !matches!(listen.address, Address::Unix(_))
            && listen.tls.iter().any(|tls| tls.name == settings.name)
    };
    let by_http = listen.iter().any(is_plain);
    // No handshake is had there without a certificate of the client.
    let by_tls = settings.clients.is_none() && listen.iter().any(has_it);
    let all = [(Challenge::Http01, by_http), (Challenge::TlsAlpn01, by_tls)];
    let answered = all.into_iter().filter(|(_, answered)| *answered);
    let wanted = |way: &Challenge| acme.challenge.is_none_or(|wanted| wanted == *way);
    answered.map(|(way, _)| way).filter(wanted).collect()
}

/// Reports a table that no listener can prove to be ours.
pub(super) fn check(value: &Value<'_>, settings: &Settings, listen: &[Listen]) {
    if !ways(settings, listen).is_empty() {
        return;
    }
    let wanted = settings.acme().and_then(|acme| acme.challenge);
    let hint = match wanted {
        Some(Challenge::Http01) => "HTTP-01 needs a public listener without tls",
        Some(Challenge::TlsAlpn01) => {
            "TLS-ALPN-01 needs a listener with this certificate, without client_ca"
        }
        None => "a public listener without tls, or one with this certificate and without client_ca",
    };
    let message = "no listener can answer who looks whether these names are ours";
    value
        .report
        .missing(&value.place, message, Some(hint.to_owned()));
}
