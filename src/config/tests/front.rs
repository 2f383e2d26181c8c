//! What of the file is about sockets and proxies in front, and what the internal listeners show.

use super::{FULL, SHORT, good, problems};
use crate::config::show;
use crate::server::Address;
use crate::wire::forwarded::ClientIpHeader;

/// What is in a file.
pub(super) fn file(path: &str) -> Option<String> {
    Some(match path {
        "/run/proxies.txt" => {
            "# of a CDN\n173.245.48.0/20\n\n  2400:cb00::/32  # IPv6\r\n".to_owned()
        }
        "/run/empty.txt" => "# nobody\n\n".to_owned(),
        "/run/wrong.txt" => "10.0.0.1\n10.0.0.0/33\n# fine\nfront.example.com\n".to_owned(),
        "/run/all-wrong.txt" => "x\n".repeat(100),
        "/run/long.txt" => "10.0.0.1\n".repeat(1001),
        _ => return None,
    })
}

/// `SHORT` with these tables, which are lines 4 and on.
fn with(tables: &str) -> String {
    SHORT.replacen(
        "[upstream.django]",
        &format!("{tables}\n[upstream.django]"),
        1,
    )
}

#[test]
fn a_file_of_networks_counts_as_if_they_were_written_here() {
    let networks = |form: &str| {
        let text = with(&format!(
            "[trust]\nproxies = [\"10.0.0.1\", \"{form}:/run/proxies.txt\"]"
        ));
        let config = good(&text);
        // What is shown names each of them, for that is what is in force.
        assert_eq!(good(&show(&config)).trust, config.trust);
        let networks = config.trust.proxies.iter().map(ToString::to_string);
        networks.collect::<Vec<_>>()
    };
    for form in ["file", "cloudflare"] {
        let expected = ["10.0.0.1/32", "173.245.48.0/20", "2400:cb00::/32"];
        assert_eq!(networks(form), expected);
    }
}

#[test]
fn each_mistake_in_such_a_file_is_told_with_its_line() {
    let told = |name: &str| {
        let problems = problems(&with(&format!("[trust]\nproxies = [\"file:/run/{name}\"]")));
        let place = "5:12: trust.proxies[0]: ";
        let bare = problems
            .iter()
            .map(|line| line.strip_prefix(place).unwrap());
        bare.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        told("wrong.txt"),
        [
            "/run/wrong.txt:2: \"10.0.0.0/33\" is no network",
            "/run/wrong.txt:4: \"front.example.com\" is no network",
        ]
    );
    assert_eq!(told("empty.txt"), ["there is no network in /run/empty.txt"]);
    assert_eq!(
        told("long.txt"),
        ["/run/long.txt has more than 1000 networks"]
    );
    assert_eq!(told("all-wrong.txt").len(), 10);
    assert_eq!(told("none.txt"), ["/run/none.txt: entity not found"]);
}

#[test]
fn who_speaks_the_proxy_protocol_needs_somebody_to_listen_to() {
    let protocol = "proxy_protocol = true\n[trust]\n";
    let config = good(&with(&format!(
        "{protocol}proxies = [\"unix:\"]\nclient_ip = \"proxy-protocol\""
    )));
    assert!(config.listen[0].proxy_protocol);
    assert_eq!(config.trust.client_ip, ClientIpHeader::ProxyProtocol);
    assert!(show(&config).contains("client_ip = \"proxy-protocol\""));
    for (tables, expected) in [
        (
            protocol,
            "`listen.http` refuses everybody: with `proxy_protocol` only trusted proxies may connect (name the proxies in front in [trust] proxies)",
        ),
        (
            "[trust]\nproxies = [\"10.0.0.1\"]\nclient_ip = \"proxy-protocol\"",
            "`client_ip = \"proxy-protocol\"`, but no listener speaks it (set `proxy_protocol = true` in a [listen] table)",
        ),
        (
            "[listen.b]\naddress = \"127.0.0.1:9\"\nrole = \"internal\"\nproxy_protocol = true",
            "7:18: listen.b.proxy_protocol: the PROXY protocol is for public listeners",
        ),
    ] {
        let told = problems(&with(tables));
        assert!(told.len() == 1 && told[0].ends_with(expected), "{told:?}");
    }
}

#[test]
fn a_listener_may_have_its_sockets_from_systemd() {
    let text = SHORT.replace("127.0.0.1:8080", "systemd:web");
    let config = good(&text);
    assert_eq!(config.listen[0].address, Address::Systemd("web".to_owned()));
    assert!(show(&config).contains("address = \"systemd:web\""));
    let twice = text.replacen(
        "[upstream.django]",
        "[listen.b]\naddress = \"systemd:web\"\n[upstream.django]",
        1,
    );
    assert_eq!(
        problems(&twice),
        [
            "5:11: listen.b.address: systemd:web is taken by `listen.http` (each listener has an address of its own)"
        ]
    );
    // Whom it lets in is not known here.
    let open = text.replacen(
        "[upstream.django]",
        "[listen.b]\naddress = \"systemd:in\"\nrole = \"internal\"\n[upstream.django]",
        1,
    );
    assert_eq!(
        problems(&open),
        [
            "5:11: listen.b.address: an internal listener that others can reach needs [publish] tokens (listen on 127.0.0.1 or on a unix socket, set tokens, or use tls with client_ca)"
        ]
    );
}

#[test]
fn what_is_said_of_requests_and_of_the_internal_listeners_is_heard() {
    let config = good(FULL);
    assert_eq!(
        config.connections.map(std::num::NonZeroUsize::get),
        Some(50)
    );
    assert_eq!(config.request_id, "x-correlation-id");
    assert_eq!(
        (config.metrics.path.as_str(), config.metrics.per_channel),
        ("/numbers", true)
    );
    assert!(!config.console);
    let config = good(SHORT);
    assert_eq!((config.connections, config.console), (None, true));
    assert_eq!(config.request_id, "x-request-id");
    assert_eq!(
        (config.metrics.path.as_str(), config.metrics.per_channel),
        ("/metrics", false)
    );
}

#[test]
fn what_has_a_meaning_already_cannot_be_the_id_or_the_path() {
    let taken = "5:14: log.request_id: this header says something else (as in \"x-request-id\" or \"x-correlation-id\")";
    for name in [
        "Host",
        "x-forwarded-for",
        "sse-user",
        "x_id",
        "connection",
        "cookie",
    ] {
        assert_eq!(
            problems(&with(&format!("[log]\nrequest_id = \"{name}\""))),
            [taken],
            "{name}"
        );
    }
    let both = "[log]\nrequest_id = \"x-who\"\n[trust]\nproxies = [\"::1\"]\nclient_ip = \"x-who\"";
    assert_eq!(problems(&with(both)), [taken]);
    for path in ["/v1/stats", "/healthz", "/", "/publish", "/v1/"] {
        let told = problems(&with(&format!("[metrics]\npath = \"{path}\"")));
        let expected = format!("5:8: metrics.path: {path:?} leads to something else");
        assert_eq!(told, [expected]);
    }
}
