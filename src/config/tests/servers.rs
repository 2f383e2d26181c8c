//! The servers of an upstream: how they are chosen and checked, and whom they must prove to be.

use std::time::Duration;

use super::{SHORT, good, problems};
use crate::config::show;
use crate::upstream::{Balance, MOST_SERVERS, Server, Settings};

/// `SHORT` with another line in place of its servers.
fn text(lines: &str) -> String {
    SHORT.replace("servers = [\"127.0.0.1:8000\"]", lines)
}

fn upstream(lines: &str) -> Settings {
    let config = good(&text(lines));
    let shown = show(&config);
    assert_eq!(show(&good(&shown)), shown, "it reads back");
    config.upstreams[0].clone()
}

#[test]
fn servers_are_chosen_and_checked_as_it_is_written() {
    let upstream = upstream(
        "servers = [\"a:1\", \"b:2\"]\nbalance = \"client-ip\"\n\
         health = { path = \"/h/?x=1\", host = \"a.test\", every = \"1s\", timeout = \"2s\", fails = 4, passes = 5 }",
    );
    assert_eq!(upstream.balance, Balance::ClientIp);
    let health = upstream.health.unwrap();
    assert_eq!((health.path.as_str(), &*health.host), ("/h/?x=1", "a.test"));
    let (every, timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    assert_eq!((health.every, health.timeout), (every, timeout));
    assert_eq!((health.fails, health.passes), (4, 5));
}

#[test]
fn a_check_is_for_the_first_host_that_is_served() {
    let health = "servers = [\"a:1\"]\nhealth = { path = \"/\" }";
    let host = |config: crate::config::Config| config.upstreams[0].health.clone().unwrap().host;
    assert_eq!(host(good(&text(health))), "localhost");
    let hosts = "[server]\nhosts = [\"*\", \".site.test\", \"other.test\"]\n";
    assert_eq!(host(good(&(text(health) + hosts))), "site.test");
}

#[test]
fn a_server_is_https_with_the_name_it_must_prove() {
    let upstream = upstream(
        "servers = [\"https://App.internal\", \"https://10.0.0.5:8443\", \"https://[::1]:1\", \"c:1\"]\n\
         tls = { ca = \"/run/cert.pem\", name = \"site.test\", cert = \"/run/cert.pem\", key = \"/run/key.pem\" }",
    );
    let all: Vec<_> = upstream.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "https://app.internal:443",
            "https://10.0.0.5:8443",
            "https://[::1]:1",
            "c:1"
        ]
    );
    let names = upstream.servers.iter().filter_map(|server| match server {
        Server::Tls { name, .. } => Some(name.to_str().into_owned()),
        Server::Tcp(_) | Server::Unix(_) => None,
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["app.internal", "10.0.0.5", "::1"]
    );
    let files = upstream.tls.unwrap();
    let name = files.files().name.as_ref().unwrap();
    assert_eq!(name.to_str(), "site.test");
    assert!(files.files().identity.is_some());
}

#[test]
fn each_mistake_is_told_once_with_its_place() {
    let https = "servers = [\"https://a\"]\ntls = { ca = \"/run/cert.pem\"";
    for (lines, expected) in [
        (
            "servers = [\"https://a/\"]",
            "5:12: upstream.django.servers[0]: \"https://a/\" is no server (did you mean \"https://a\"?)",
        ),
        (
            "servers = [\"https://a:0\"]",
            "5:12: upstream.django.servers[0]: \"https://a:0\" is no server (as in \"https://10.0.0.5:8443\" or \"https://app.internal\")",
        ),
        (
            "servers = [\"a:1\", \"a:1\"]",
            "5:11: upstream.django.servers: a:1 is there twice",
        ),
        (
            "servers = [\"a:1\"]\nbalance = \"random\"",
            "6:11: upstream.django.balance: \"random\" is not known here (there are: least-busy, round-robin, client-ip)",
        ),
        (
            "servers = [\"a:1\"]\nhealth = {}",
            "6:10: upstream.django.health.path: \"path\" is missing",
        ),
        (
            "servers = [\"a:1\"]\nhealth = { path = \"healthz\" }",
            "6:19: upstream.django.health.path: \"healthz\" is no path (as in \"/healthz/\")",
        ),
        (
            "servers = [\"a:1\"]\nhealth = { path = \"/\", host = \"a b\" }",
            "6:31: upstream.django.health.host: \"a b\" is no host (as in \"example.com\")",
        ),
        (
            "servers = [\"a:1\"]\nhealth = { path = \"/\", fails = 0 }",
            "6:32: upstream.django.health.fails: expected a whole number from 1 to 1000",
        ),
        (
            "servers = [\"a:1\"]\nhealth = { path = \"/\", every = \"0s\" }",
            "6:32: upstream.django.health.every: zero makes no sense here",
        ),
        (
            "servers = [\"a:1\"]\ntls = { ca = \"/run/cert.pem\" }",
            "6:7: upstream.django.tls: no server here is https (as in servers = [\"https://app.internal\"])",
        ),
        (
            "servers = [\"https://a\"]\ntls = { ca = \"/run/key.pem\" }",
            "6:14: upstream.django.tls.ca: \"/run/key.pem\": there is no certificate in this file",
        ),
        (
            "servers = [\"https://a\"]\ntls = { ca = \"/run/odd.pem\" }",
            "6:14: upstream.django.tls.ca: \"/run/odd.pem\": a certificate of this file is damaged",
        ),
        (
            &format!("{https}, name = \"a b\" }}"),
            "6:38: upstream.django.tls.name: \"a b\": invalid dns name",
        ),
        (
            &format!("{https}, cert = \"/run/cert.pem\" }}"),
            "6:7: upstream.django.tls: a certificate has a key (both, or neither)",
        ),
        (
            &format!("{https}, cert = \"/run/cert.pem\", key = \"/run/other.pem\" }}"),
            "6:61: upstream.django.tls.key: \"/run/other.pem\": this key does not belong to the certificate",
        ),
        (
            &format!("{https}, verify = false }}"),
            "6:31: upstream.django.tls.verify: unknown key \"verify\"",
        ),
    ] {
        assert_eq!(problems(&text(lines)), [expected], "{lines}");
    }
    let many: Vec<_> = (1..=MOST_SERVERS + 1)
        .map(|port| format!("\"a:{port}\""))
        .collect();
    let told = problems(&text(&format!("servers = [{}]", many.join(", "))));
    assert_eq!(
        told,
        ["5:11: upstream.django.servers: an upstream has at most 64 servers"]
    );
}
