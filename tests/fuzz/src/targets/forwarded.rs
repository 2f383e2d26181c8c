//! `X-Forwarded-*` of any lines: a stranger is believed nothing, a trusted peer no further than the trusted chain goes,
//! and the header contract leaves nothing of it behind.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate::wire::forwarded::{ClientIpHeader, Forwarded, Own, Proto, client, forwarded};
use tidegate::wire::headers::strip_request;
use tidegate::wire::host;

use crate::parts::headers;

const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const OURS: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
];

pub fn check(data: &[u8]) -> Option<()> {
    let lines = headers(data)?;
    let host = lines
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("site.test");
    let own = Own {
        tls: false,
        local_port: Some(8080),
        host,
    };
    let named = ClientIpHeader::Named(HeaderName::from_static("cf-connecting-ip"));
    for header in [&ClientIpHeader::XForwardedFor, &named] {
        let stranger = forwarded(&lines, STRANGER, trusted, own, header);
        assert_eq!(stranger.chain, STRANGER.to_string());
        assert_eq!((stranger.client, stranger.proto), (STRANGER, Proto::Http));
        assert_eq!(stranger.host, host);
        is_applied(&stranger, &lines);
        let proxied = forwarded(&lines, PROXY, trusted, own, header);
        assert_eq!(proxied.client, client(&lines, PROXY, trusted, header));
        is_a_chain(&proxied, header);
        is_applied(&proxied, &lines);
        assert!(proxied.host == host || host::parse(&proxied.host).is_some());
    }
    Some(())
}

fn trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

/// The client first, then only who is trusted, the peer last.
fn is_a_chain(proxied: &Forwarded, header: &ClientIpHeader) {
    let chain: Vec<IpAddr> = proxied
        .chain
        .split(", ")
        .map(|one| one.parse().expect("an address"))
        .collect();
    assert_eq!(
        (chain.first(), chain.last()),
        (Some(&proxied.client), Some(&PROXY))
    );
    assert!(
        chain
            .iter()
            .all(|address| address.to_canonical() == *address)
    );
    assert!(chain.iter().skip(1).all(|address| trusted(*address)));
    assert!(chain.len() <= 2 || *header == ClientIpHeader::XForwardedFor);
}

/// What Django reads is what was decided, and the next gateway in the row decides the same.
fn is_applied(decided: &Forwarded, lines: &HeaderMap) {
    let mut sent = lines.clone();
    strip_request(&mut sent);
    let left = |name: &HeaderName| {
        let name = name.as_str();
        name.contains('_') || name.starts_with("x-forwarded") || name == "connection"
    };
    assert!(!sent.keys().any(left));
    decided.apply(&mut sent);
    for name in OURS {
        assert_eq!(sent.get_all(name).iter().count(), 1, "{name}");
    }
    let text = |name: &str| sent.get(name).map(HeaderValue::as_bytes);
    assert_eq!(text("x-forwarded-for"), Some(decided.chain.as_bytes()));
    assert_eq!(text("x-forwarded-host"), Some(decided.host.as_bytes()));
    assert_eq!(
        text("x-real-ip"),
        Some(decided.client.to_string().as_bytes())
    );
    let next = client(&sent, PROXY, trusted, &ClientIpHeader::XForwardedFor);
    assert_eq!(next, decided.client);
}
