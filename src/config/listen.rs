//! `[listen.*]`: where the gateway listens, and that no two listeners are in each other's way.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::reader::{Section, Value};
use super::scalar::Text;
use super::tls::Certificates;
use crate::server::{Address, Listen, Role};
use crate::tls;

/// The words of `role`.
pub(super) const ROLES: [(&str, Role); 2] =
    [("public", Role::Public), ("internal", Role::Internal)];

/// What a table says, as far as it could be read.
struct Written<'a> {
    address: Option<(Address, Text<'a>)>,
    /// `None` if it is neither word.
    role: Option<Role>,
    http2: bool,
    /// Whether requests are sent on to https, and to which port; 0 is whichever https is at.
    redirect: Option<u16>,
    proxy_protocol: bool,
    tls: Vec<Arc<tls::Settings>>,
    /// Whether the certificates, right or wrong, are to let in known clients only.
    certified: bool,
}

/// The port of https where nothing else is known.
const HTTPS: u16 = 443;

/// All listeners. `tokens`: whether publishing needs a token.
pub(super) fn listeners(
    document: &mut Section<'_>,
    tokens: bool,
    certificates: &Certificates<'_>,
) -> Vec<Listen> {
    let mut listeners: Vec<Listen> = Vec::new();
    let mut clients_come_in = false;
    for (name, value) in document.named("listen") {
        let Some(written) = value.table("listen.*", |section| written(section, certificates))
        else {
            continue;
        };
        clients_come_in |= written.role != Some(Role::Internal);
        let Some((address, text)) = written.address else {
            continue;
        };
        for other in &listeners {
            if let Some(hint) = in_the_way(&other.address, &address) {
                let message = format!("{address} is taken by `listen.{}`", other.name);
                text.problem(message, Some(hint));
                break;
            }
        }
        let role = written.role.unwrap_or(Role::Public);
        if role == Role::Internal && !tokens && !written.certified && !address.is_private() {
            let hint =
                "listen on 127.0.0.1 or on a unix socket, set tokens, or use tls with client_ca"
                    .to_owned();
            let message = "an internal listener that others can reach needs [publish] tokens";
            value.report.missing(text.place(), message, Some(hint));
        }
        listeners.push(Listen {
            name,
            address,
            role,
            http2: written.http2,
            proxy_protocol: written.proxy_protocol,
            tls: written.tls,
            redirect_https: written.redirect,
        });
    }
    let https = https_port(&listeners);
    for listen in &mut listeners {
        listen.redirect_https = listen.redirect_https.map(|port| match port {
            0 => https,
            port => port,
        });
    }
    if !clients_come_in {
        let hint = "as in [listen.http] with address = \"127.0.0.1:8080\"".to_owned();
        document.missing("listen", "there is no public listener", Some(hint));
    }
    listeners
}

fn written<'a>(section: &mut Section<'a>, certificates: &Certificates<'_>) -> Written<'a> {
    let text = section.required("address").and_then(|value| value.text());
    let address = text.and_then(|text| Some((address(&text)?, text)));
    let chosen = section.value("tls").map(|value| {
        if matches!(&address, Some((Address::Unix(_), _))) {
            let hint = "TLS is for TCP: leave `tls` out".to_owned();
            value.problem("TLS on a unix socket", Some(hint));
        }
        certificates.chosen(&value)
    });
    let speaks_tls = chosen.is_some();
    let chosen = chosen.unwrap_or_default();
    let role = match section.value("role") {
        Some(role) => role.text().and_then(|text| text.choice(&ROLES)),
        None => Some(Role::Public),
    };
    let redirect = redirect(section, speaks_tls, role == Some(Role::Internal));
    let proxy_protocol = section.value("proxy_protocol");
    let wanted = proxy_protocol.as_ref().and_then(Value::flag) == Some(true);
    let public = role != Some(Role::Internal);
    if let Some(value) = proxy_protocol.filter(|_| wanted && !public) {
        value.problem("the PROXY protocol is for public listeners", None);
    }
    Written {
        address,
        role,
        proxy_protocol: wanted && public,
        http2: section.flag("http2").unwrap_or(true),
        redirect,
        tls: chosen.settings,
        certified: chosen.certified,
    }
}

/// `redirect_to_https` and `redirect_port`.
fn redirect(section: &mut Section<'_>, tls: bool, internal: bool) -> Option<u16> {
    let value = section.value("redirect_to_https");
    let is_on = value.as_ref().and_then(Value::flag).unwrap_or(false);
    let port = section.value("redirect_port");
    match (&value, &port) {
        (Some(value), _) if is_on && tls => {
            let hint = "it is for a second listener, on port 80".to_owned();
            value.problem("this listener speaks TLS itself", Some(hint));
        }
        (Some(value), _) if is_on && internal => {
            value.problem("only public listeners have somewhere to redirect to", None);
        }
        (_, Some(port)) if !is_on => {
            port.problem("does nothing without `redirect_to_https`", None);
        }
        _ => {}
    }
    let port = port.and_then(|port| port.count(1..=usize::from(u16::MAX)));
    let port = port.and_then(|port| u16::try_from(port).ok());
    is_on.then(|| port.unwrap_or_default())
}

/// Where https is: at the first public listener with TLS. If there is none, TLS ends in front of the gateway.
fn https_port(listeners: &[Listen]) -> u16 {
    let mut ports = listeners
        .iter()
        .filter(|listen| listen.role == Role::Public && !listen.tls.is_empty())
        .filter_map(|listen| match listen.address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) | Address::Systemd(_) => None,
        });
    ports.find(|port| *port != 0).unwrap_or(HTTPS)
}

fn address(text: &Text<'_>) -> Option<Address> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.is_empty() {
            text.problem("\"unix:\" without a path", None);
            return None;
        }
        return Some(Address::Unix(PathBuf::from(path)));
    }
    if let Some(name) = text.value.strip_prefix("systemd:") {
        if name.is_empty() || name.contains(':') || name.contains(char::is_control) {
            let hint = "as in \"systemd:http\" for FileDescriptorName=http".to_owned();
            let message = format!("{} names no socket of systemd", text.written());
            text.problem(message, Some(hint));
            return None;
        }
        return Some(Address::Systemd(name.to_owned()));
    }
    if let Ok(address) = text.value.parse::<SocketAddr>() {
        return Some(Address::Tcp(address));
    }
    let near = match text.value.rsplit_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        None if text.value.parse::<u16>().is_ok() => format!("0.0.0.0:{}", text.value),
        _ => String::new(),
    };
    let hint = if near.parse::<SocketAddr>().is_ok() {
        format!("did you mean {near:?}?")
    } else {
        "as in \"0.0.0.0:80\", \"[::]:80\", \"unix:/run/tidegate/http.sock\" or \"systemd:http\""
            .to_owned()
    };
    text.problem(
        format!("{} is no address to listen on", text.written()),
        Some(hint),
    );
    None
}

/// If two listeners cannot both be had: what to know about it. Port 0 is a new port each time.
fn in_the_way(one: &Address, other: &Address) -> Option<String> {
    if one == other && !matches!(one, Address::Tcp(address) if address.port() == 0) {
        return Some("each listener has an address of its own".to_owned());
    }
    let (Address::Tcp(one), Address::Tcp(other)) = (one, other) else {
        return None;
    };
    if one.port() != other.port() || one.port() == 0 {
        return None;
    }
    let wide = [one.ip(), other.ip()]
        .into_iter()
        .find(IpAddr::is_unspecified)?;
    // [::] takes IPv4 in as well; 0.0.0.0 knows nothing of IPv6.
    let apart = wide.is_ipv4()
        && [one, other]
            .iter()
            .any(|address| is_ipv6_only(address.ip()));
    (!apart).then(|| format!("{wide} is every address of this machine"))
}

fn is_ipv6_only(ip: IpAddr) -> bool {
    ip.to_canonical().is_ipv6() && !ip.is_unspecified()
}
