//! `[trust]`: which proxies are believed, also those of a file that their owner publishes, and what they say of the client.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use super::reader::Section;
use super::scalar::Text;
use crate::proxy::Trust;
use crate::server::Listen;
use crate::wire::forwarded::ClientIpHeader;

/// What a file of networks is called by; the first is for any.
const FILES: [&str; 2] = ["file:", "cloudflare:"];
/// The networks of one file. All are compared with the address of each peer.
const MOST: usize = 1000;
/// The mistakes of one file that are told.
const MOST_TOLD: usize = 10;
/// What stands for the PROXY protocol among the headers.
pub(super) const PROXY_PROTOCOL: &str = "proxy-protocol";

/// `[trust]`.
pub(super) fn trust(document: &mut Section<'_>) -> Trust {
    let mut trust = Trust::default();
    document.table("trust", "trust", |section| {
        let proxies = section.value("proxies").and_then(|value| value.texts());
        for text in proxies.unwrap_or_default() {
            let path = FILES.iter().find_map(|form| text.value.strip_prefix(form));
            if text.value == "unix:" {
                trust.unix = true;
            } else if let Some(path) = path {
                trust.proxies.extend(networks(&text, path));
            } else {
                trust.proxies.extend(network(&text));
            }
        }
        if let Some(text) = section.text("client_ip") {
            let name = text.parse(|name| HeaderName::try_from(name.to_ascii_lowercase()));
            trust.client_ip = match name {
                Some(name) if name == PROXY_PROTOCOL => ClientIpHeader::ProxyProtocol,
                Some(name) if name != "x-forwarded-for" => ClientIpHeader::Named(name),
                _ => ClientIpHeader::XForwardedFor,
            };
        }
    });
    trust
}

/// Notes what of `[trust]` and the listeners cannot be together.
pub(super) fn needs_header(document: &mut Section<'_>, trust: &Trust, listen: &[Listen]) {
    let spoken = listen.iter().find(|listen| listen.proxy_protocol);
    match spoken {
        Some(listen) if trust.proxies.is_empty() && !trust.unix => {
            let hint = "name the proxies in front in [trust] proxies".to_owned();
            let message = format!(
                "`listen.{}` refuses everybody: with `proxy_protocol` only trusted proxies may connect",
                listen.name
            );
            document.missing("trust", &message, Some(hint));
        }
        None if trust.client_ip == ClientIpHeader::ProxyProtocol => {
            let hint = "set `proxy_protocol = true` in a [listen] table".to_owned();
            let message = "`client_ip = \"proxy-protocol\"`, but no listener speaks it";
            document.missing("trust", message, Some(hint));
        }
        _ => {}
    }
}

fn network(text: &Text<'_>) -> Option<IpNet> {
    let found = parse(&text.value);
    if found.is_none() {
        let hint = "as in \"10.0.0.0/8\", \"10.1.2.3\", \"file:/etc/tidegate/proxies.txt\", or \"unix:\" for unix sockets";
        text.problem(
            format!("{} is no network", text.written()),
            Some(hint.to_owned()),
        );
    }
    found
}

fn parse(text: &str) -> Option<IpNet> {
    let network = text.parse().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// One network on each line; `#` begins a comment.
fn networks(text: &Text<'_>, path: &str) -> Vec<IpNet> {
    let content = match text.file(path) {
        Ok(content) => content,
        Err(error) => {
            text.problem(format!("{path}: {error}"), None);
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    let mut wrong = 0;
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match parse(line) {
            Some(network) => found.push(network),
            None if wrong < MOST_TOLD => {
                wrong += 1;
                text.problem(format!("{path}:{number}: {line:?} is no network"), None);
            }
            None => {}
        }
    }
    if found.len() > MOST {
        text.problem(format!("{path} has more than {MOST} networks"), None);
    } else if found.is_empty() && wrong == 0 {
        text.problem(format!("there is no network in {path}"), None);
    }
    found
}
