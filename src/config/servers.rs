//! `servers` of an upstream, how it chooses among them, what they are asked regularly (`health`), and whom it trusts where
//! they are `https` (`tls`).

use std::path::PathBuf;

use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;

use super::reader::{Section, Value};
use super::scalar::Text;
use super::tls::pem;
use crate::tls::{Chain, Client, ClientFiles, Identity, Key, Roots};
use crate::upstream::{Balance, Health, MOST_SERVERS, Server};
use crate::wire::host::{self, HostRule};

/// The words of `balance`.
pub(super) const BALANCE: [(&str, Balance); 3] = [
    ("least-busy", Balance::LeastBusy),
    ("round-robin", Balance::RoundRobin),
    ("client-ip", Balance::ClientIp),
];

/// The port of `https`.
const HTTPS: u16 = 443;
/// The most checks in a row that may be asked for.
const MOST_CHECKS: usize = 1000;

/// `servers`; those that are wrong are told and left out.
pub(super) fn servers(section: &mut Section<'_>) -> Vec<Server> {
    let Some(value) = section.required("servers") else {
        return Vec::new();
    };
    let texts = value.texts().unwrap_or_default();
    if value.is_empty_list() {
        let hint = "as in [\"127.0.0.1:8000\"] or [\"unix:/run/gunicorn.sock\"]";
        value.problem("an upstream has at least one server", Some(hint.to_owned()));
    }
    if texts.len() > MOST_SERVERS {
        let message = format!("an upstream has at most {MOST_SERVERS} servers");
        value.problem(message, None);
    }
    let servers: Vec<_> = texts.iter().filter_map(server).collect();
    for (number, server) in servers.iter().enumerate() {
        if servers.iter().take(number).any(|before| before == server) {
            value.problem(format!("{server} is there twice"), None);
        }
    }
    servers
}

fn server(text: &Text<'_>) -> Option<Server> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.is_empty() {
            text.problem("\"unix:\" without a path", None);
            return None;
        }
        return Some(Server::Unix(PathBuf::from(path)));
    }
    if let Some(authority) = text.value.strip_prefix("https://") {
        return https(authority, text);
    }
    if is_host_and_port(&text.value) {
        return Some(Server::Tcp(text.value.clone()));
    }
    let bare = text.value.strip_prefix("http://").unwrap_or(&text.value);
    let bare = bare.trim_end_matches('/');
    let hint = if is_host_and_port(bare) {
        format!("did you mean {bare:?}?")
    } else {
        "as in \"127.0.0.1:8000\" or \"unix:/run/gunicorn.sock\"".to_owned()
    };
    text.problem(format!("{} is no server", text.written()), Some(hint));
    None
}

fn https(authority: &str, text: &Text<'_>) -> Option<Server> {
    let read = |authority: &str| {
        let host = host::parse(authority).filter(|host| host.port != Some(0))?;
        let bare = host.name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).ok()?;
        let port = host.port.unwrap_or(HTTPS);
        let address = format!("{}:{port}", host.name);
        Some(Server::Tls { address, name })
    };
    let server = read(authority);
    if server.is_none() {
        let bare = authority.split('/').next().unwrap_or_default();
        let hint = match read(bare) {
            Some(_) => format!("did you mean \"https://{bare}\"?"),
            None => "as in \"https://10.0.0.5:8443\" or \"https://app.internal\"".to_owned(),
        };
        text.problem(format!("{} is no server", text.written()), Some(hint));
    }
    server
}

/// Whether `text` is a name or an address (IPv6 in brackets) and a port.
fn is_host_and_port(text: &str) -> bool {
    host::parse(text).is_some_and(|host| host.port.is_some_and(|port| port != 0))
}

/// `health`; the `Host` is the first of `server.hosts` unless it says another.
pub(super) fn health(section: &mut Section<'_>, hosts: &[HostRule]) -> Option<Health> {
    section
        .table("health", "upstream.*.health", |section| {
            let path = section.required("path").and_then(|value| value.text());
            let path = path.and_then(|text| self::path(&text));
            let host = match section.text("host") {
                Some(text) => host(&text),
                None => Some(first(hosts)),
            };
            let mut health = Health::new(PathAndQuery::from_static("/"), String::new());
            section.some_time("every", &mut health.every);
            section.some_time("timeout", &mut health.timeout);
            for (key, target) in [("fails", &mut health.fails), ("passes", &mut health.passes)] {
                let count = section.value(key);
                let count = count.and_then(|value| value.count(1..=MOST_CHECKS));
                if let Some(count) = count.and_then(|count| u32::try_from(count).ok()) {
                    *target = count;
                }
            }
            Some(Health {
                path: path?,
                host: host?,
                ..health
            })
        })
        .flatten()
}

fn first(hosts: &[HostRule]) -> String {
    let exact = hosts.iter().find_map(|rule| match rule {
        HostRule::Exact(name) | HostRule::Below(name) => Some(name.clone()),
        HostRule::Any => None,
    });
    exact.unwrap_or_else(|| "localhost".to_owned())
}

fn path(text: &Text<'_>) -> Option<PathAndQuery> {
    let path = text.value.parse::<PathAndQuery>().ok();
    // What was cut off, as a fragment is, would be missed.
    let fits = |path: &PathAndQuery| path.as_str() == text.value && text.value.starts_with('/');
    let path = path.filter(fits);
    if path.is_none() {
        let message = format!("{} is no path", text.written());
        text.problem(message, Some("as in \"/healthz/\"".to_owned()));
    }
    path
}

fn host(text: &Text<'_>) -> Option<String> {
    if host::parse(&text.value).is_none() {
        let message = format!("{} is no host", text.written());
        text.problem(message, Some("as in \"example.com\"".to_owned()));
        return None;
    }
    Some(text.value.clone())
}

/// `tls`, and what it is without: whom the machine trusts. `None` if no server is `https`, or it is wrong, which is told.
pub(super) fn tls(section: &mut Section<'_>, servers: &[Server]) -> Option<Client> {
    let is_https = |server: &Server| matches!(server, Server::Tls { .. });
    let is_needed = servers.iter().any(is_https);
    match section.value("tls") {
        Some(value) => {
            let client = client(&value);
            if !is_needed && !servers.is_empty() {
                let hint = "as in servers = [\"https://app.internal\"]".to_owned();
                value.problem("no server here is https", Some(hint));
            }
            client
        }
        None if is_needed => {
            let roots = machine(|message| section.missing("", &message, Some(CA.to_owned())));
            Some(Client::new(ClientFiles::default(), roots?, None))
        }
        None => None,
    }
}

/// What is told where there is nobody to trust.
const CA: &str = "as in tls = { ca = \"/etc/ssl/private-ca.pem\" }";

/// Whom the machine trusts; `tell` is told if that is nobody.
fn machine(tell: impl FnOnce(String)) -> Option<Roots> {
    let roots = Roots::of_machine();
    roots.map_err(|error| tell(error.to_string())).ok()
}

fn client(value: &Value<'_>) -> Option<Client> {
    value
        .table("upstream.*.tls", |section| {
            let ca = section.text("ca");
            let roots = ca.as_ref().map_or_else(
                || machine(|message| value.problem(message, Some(CA.to_owned()))),
                |file| pem(file, section, Roots::from_pem),
            );
            let name = section.text("name");
            let name = name.map(|text| text.parse(|name| ServerName::try_from(name.to_owned())));
            let (cert, key) = (section.text("cert"), section.text("key"));
            if cert.is_some() != key.is_some() && !section.has_misspelt(&["cert", "key"]) {
                let hint = "both, or neither".to_owned();
                value.problem("a certificate has a key", Some(hint));
            }
            let files = cert.as_ref().zip(key.as_ref());
            let identity = files.map(|(cert, key)| identity(cert, key, section));
            let path = |text: Option<Text<'_>>| text.map(|text| PathBuf::from(text.value));
            let identity = identity.map_or(Some(None), |identity| identity.map(Some))?;
            let files = ClientFiles {
                name: name.map_or(Some(None), |name| name.map(Some))?,
                ca: path(ca),
                identity: path(cert).zip(path(key)),
            };
            Some(Client::new(files, roots?, identity))
        })
        .flatten()
}

fn identity(cert: &Text<'_>, key: &Text<'_>, section: &Section<'_>) -> Option<Identity> {
    let chain = pem(cert, section, Chain::from_pem);
    let private = pem(key, section, Key::from_pem);
    let (chain, private) = (chain?, private?);
    key.parse(|_| Identity::new(chain, private))
}
