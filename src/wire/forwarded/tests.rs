//! Chains, and what trusted and other peers say.

use super::*;
use proptest::prelude::*;

const OWN: Own<'static> = Own {
    tls: false,
    local_port: Some(8000),
    host: "site.example",
};

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Trusts 10.0.0.0/8.
fn trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
}

fn told(lines: &[(&'static str, &str)], peer: &str) -> Forwarded {
    let peer = peer.parse().unwrap();
    forwarded(
        &map(lines),
        peer,
        trusted,
        OWN,
        &ClientIpHeader::XForwardedFor,
    )
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client() {
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "1.1.1.1"),
    ];
    let found = told(&lines, "::ffff:9.9.9.9");
    assert_eq!(
        (found.client.to_string(), found.chain.as_str()),
        ("9.9.9.9".to_owned(), "9.9.9.9")
    );
    assert_eq!(
        (found.proto, found.host.as_str(), found.port),
        (Proto::Http, "site.example", 80)
    );
}

#[test]
fn the_chain_begins_with_the_first_address_that_is_not_trusted() {
    for (lines, chain) in [
        (
            &["1.1.1.1, 2.2.2.2, 10.0.0.2"][..],
            "2.2.2.2, 10.0.0.2, 10.0.0.1",
        ),
        (
            &["1.1.1.1", "2.2.2.2:99", "10.0.0.2"],
            "2.2.2.2, 10.0.0.2, 10.0.0.1",
        ),
        (&["10.0.0.3,10.0.0.2"], "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        (&["1.1.1.1, [2001:db8::1]:443"], "2001:db8::1, 10.0.0.1"),
        (&["1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1, 10.0.0.2, 10.0.0.1"),
        (&["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
        (&["1.1.1.1,, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
        (&["1.1.1.1, "], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&[], "10.0.0.1"),
    ] {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let found = told(&lines, "10.0.0.1");
        assert_eq!(found.chain, chain, "{lines:?}");
        assert!(chain.starts_with(&found.client.to_string()));
    }
}

#[test]
fn a_trusted_peer_says_scheme_host_and_port_if_it_makes_sense() {
    for (lines, proto, host, port) in [
        (
            &[("x-forwarded-proto", "HTTPS")][..],
            Proto::Https,
            "site.example",
            443,
        ),
        (
            &[("x-forwarded-host", "A.example:8443")],
            Proto::Http,
            "A.example:8443",
            8443,
        ),
        (
            &[("x-forwarded-host", "a"), ("x-forwarded-port", "99")],
            Proto::Http,
            "a",
            99,
        ),
        (
            &[("x-forwarded-host", "a b"), ("x-forwarded-port", "0")],
            Proto::Http,
            "site.example",
            80,
        ),
        (
            &[
                ("x-forwarded-proto", "https,http"),
                ("x-forwarded-port", "+1"),
            ],
            Proto::Http,
            "site.example",
            80,
        ),
        (
            &[
                ("x-forwarded-proto", "http"),
                ("x-forwarded-proto", "https"),
            ],
            Proto::Http,
            "site.example",
            80,
        ),
    ] {
        let found = told(lines, "10.0.0.1");
        assert_eq!(
            (found.proto, found.host.as_str(), found.port),
            (proto, host, port),
            "{lines:?}"
        );
    }
}

#[test]
fn a_named_header_counts_alone() {
    let header = ClientIpHeader::Named(HeaderName::from_static("cf-connecting-ip"));
    let found = |lines: &[_], peer: &str| {
        forwarded(&map(lines), peer.parse().unwrap(), trusted, OWN, &header).chain
    };
    let lines = [
        ("cf-connecting-ip", "2.2.2.2"),
        ("x-forwarded-for", "1.1.1.1"),
    ];
    assert_eq!(found(&lines, "10.0.0.1"), "2.2.2.2, 10.0.0.1");
    assert_eq!(found(&lines, "9.9.9.9"), "9.9.9.9");
    assert_eq!(found(&lines[1..], "10.0.0.1"), "10.0.0.1");
    assert_eq!(
        found(&[("cf-connecting-ip", "1.1.1.1, 2.2.2.2")], "10.0.0.1"),
        "10.0.0.1"
    );
}

#[test]
fn what_is_applied_replaces_what_was_there() {
    let mut headers = map(&[
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
    ]);
    told(&[], "9.9.9.9").apply(&mut headers);
    let expected = map(&[
        ("x-forwarded-for", "9.9.9.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "site.example"),
        ("x-forwarded-port", "80"),
        ("x-real-ip", "9.9.9.9"),
    ]);
    assert_eq!(headers, expected);
}

proptest! {
    #[test]
    fn nothing_a_client_claims_precedes_its_address(claimed in "[ -~]{0,40}", peer in r"9\.9\.9\.9|10\.0\.0\.1") {
        let line = format!("{claimed}, 7.7.7.7");
        let found = told(&[("x-forwarded-for", &line), ("x-forwarded-host", &claimed)], &peer);
        let expected = if peer == "9.9.9.9" { "9.9.9.9" } else { "7.7.7.7, 10.0.0.1" };
        prop_assert_eq!(&found.chain, expected);
        prop_assert!(host::parse(&found.host).is_some());
    }
}
