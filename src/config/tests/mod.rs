//! Whole files: what is told about wrong ones, and that good ones read back.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::record::{Per, Replay};

mod acme;
mod compress;
mod edge;
mod front;
mod grip;
mod limits;
mod mistakes;
mod notify;
mod redis;
mod servers;
mod statics;
mod tls;
mod tokens;

/// An environment that never changes.
pub(super) struct Fixed;

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "TOKEN" => "from-the-environment",
            "EMPTY" => "",
            "KEY" => KEY,
            "NESTED" => "${TOKEN}",
            "COUNT" => "3",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, path: &str) -> io::Result<String> {
        match path {
            "/run/secret" => Ok("from-the-file\n".to_owned()),
            "/run/public.pem" => Ok(tokens::public_key("ES256")),
            _ => tls::file(path)
                .or_else(|| grip::file(path))
                .or_else(|| edge::file(path))
                .or_else(|| front::file(path))
                .ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

/// Long enough for any kind of token.
const KEY: &str = "thirty-two bytes and more from-the-environment";

/// A file that says nothing it need not say; tests put their lines under it or in the place of its own.
const SHORT: &str = r#"version = 1
[listen.http]
address = "127.0.0.1:8080"
[upstream.django]
servers = ["127.0.0.1:8000"]
[[route]]
path = "/<path:rest>"
proxy = "django"
"#;

const FULL: &str = r#"
version = 1

[server]
hosts = ["example.com", ".example.org", "[::1]"]
workers = "${COUNT}"
max_connections = 1_000
drain = "10s"
drain_spread = "5s"
temp = "/"

[listen.http]
address = "0.0.0.0:80"
http2 = false
redirect_to_https = false

[listen.inside]
address = "unix:/run/tidegate/internal.sock"
role = "internal"

[listen.outside]
address = "10.0.0.1:9090"
role = "internal"
tls = "main"

[listen.https]
address = "0.0.0.0:443"
tls = "next"
proxy_protocol = true

[listen.passed]
address = "systemd:web"

[listen.many]
address = "0.0.0.0:8443"
tls = ["shop", "main"]

[listen.known]
address = "0.0.0.0:9443"
tls = ["known"]

[tls.main]
cert = "/run/cert.pem"
key = "/run/key.pem"

[tls.next]
cert = "/run/both.pem"
key = "/run/both.pem"
min_version = "1.3"

[tls.shop]
cert = "/run/cert.pem"
key = "/run/key.pem"

[tls.known]
cert = "/run/cert.pem"
key = "/run/key.pem"
client_ca = "/run/ca.pem"

[tls.ours]
self_signed = ["localhost", "127.0.0.1", "::1"]

[trust]
proxies = ["10.0.0.0/8", "192.168.1.1", "::1", "unix:", "file:/run/proxies.txt"]
client_ip = "CF-Connecting-IP"

[upstream.django]
servers = ["unix:/run/$$HOME.sock", "app.example.com:8000", "[::1]:8000"]
connect_timeout = "3s"
response_timeout = "1m"
idle_reuse = "0s"
retry_for = "1500ms"
buffer_request = "64KiB"
buffer_response = false
publish = true
balance = "least-busy"
max_in_flight = 0
grip = false

[[route]]
path = "/rooms/<slug:room>/<int:pk>/"
sse = { channels = ["room-{room}", "all:{pk}"], public = true, heartbeat = "20s", open_event = "open", heartbeat_data = "a\nb" }

[[route]]
path = "/events/"
sse = { ask = { to = "django", at_once = 4, cache = "2s" }, slow_client = "skip", retry = "3s", heartbeat_event = "", cors = { origins = ["*"] } }

[[route]]
path = "/events/more/"
limits = { body = "1KiB", rate = "4294967295/s" }
[route.sse]
ask = "django"
backend_down = "fail"

[[route]]
path = "/live/"
sse = { token = { kind = "django-signed", key = "${KEY}", max_age = "5m", from = ["bearer"] }, per_user = 3 }

[[route]]
path = "/live/jwt/"
[route.sse.token]
kind = "jwt"
alg = "HS256"
key = "${KEY}"
issuer = "the $$ite"

[[route]]
path = "/live/es256/"
sse = { token = { kind = "jwt", alg = "ES256", key = "${file:/run/public.pem}", audience = "us" } }

[[route]]
path = "/ws/<path:rest>"
proxy = { to = "django", websocket = false, record = { replay = "new", linger = "5m", per = "all" } }
limits = { body = "2GiB", rate = "10/m", burst = 3 }

[[route]]
path = "/static/<path:file>"
static = { root = "/srv/$$app/static", precompressed = true, hashed = "1y", index = "index.html", max_age = "1m" }

[[route]]
path = "/private/<path:file>"
internal = true
static = { root = "private", inline = ["Image/*", "application/pdf"], dotfiles = true }

[[route]]
path = "/robots.txt"
static = { root = "public" }
internal = false

[[route]]
path = "/<path:rest>"
proxy = "django"

[sse]
heartbeat = "10s"
heartbeat_event = "ping"
heartbeat_data = "x"
cors = { origins = ["https://app.example.com", "http://localhost:3000"], credentials = true }
retry = "1s..9s"
history = { events = 16, age = "1h" }
history_memory = "16MiB"
slow_client = "close"
open_event = ""
closed_for = "1d"
backend_down = "retry"

[publish]
tokens = [
  { name = "django", secret = "${TOKEN}" },
  { name = "billing", secret = "${file:/run/secret}", channels = ["billing-*"], rate = "100/s" },
  { name = "shop", webhook = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" },
]
max_event = "10KiB"
idempotency = "1h"
ndjson_idle = "30s"

[redis]
url = "rediss://gateway:${TOKEN}@redis.example.com/1"
share = false

[[redis.listen]]
channel = "sse:*"
format = "django-sse"
to = "{channel}"

[[redis.listen]]
channel = "push"
format = "json"
to = "user-{user.id}"

[limits]
body = "20MiB"
buffers_memory = "2MiB"
buffers_files = "0B"
header = "16KiB"
header_timeout = "5s"
body_idle = "15s"
keepalive = "1m"
connections = 50
rate = "50/s"
burst = 200

[compress]
types = ["text/*", "application/x-own"]
algorithms = ["gzip", "zstd"]
min_size = "2KiB"
cookies = true
[metrics]
path = "/numbers"
per_channel = true
[console]
enabled = false
[log]
level = "debug"
request_id = "X-Correlation-ID"
format = "json"
access = { to = "/var/log/$$HOME/access.log", format = "common" }
"#;

fn good(text: &str) -> Config {
    parse(text, &Fixed).unwrap_or_else(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text, &Fixed).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_file_has_the_defaults() {
    let config = good(SHORT);
    assert_eq!(config.server, server::Settings::default());
    assert_eq!(config.stream, stream::Settings::default());
    assert_eq!(config.history, history::Settings::default());
    assert_eq!(config.publish, crate::publish::Settings::default());
    assert_eq!(config.log, log::Settings::default());
    assert_eq!(config.access, None);
    assert_eq!(config.hosts, [HostRule::Any]);
    assert_eq!(config.buffers, crate::upstream::Room::default());
    assert!(config.tokens.is_empty() && config.trust.proxies.is_empty());
    let expected = crate::upstream::Settings::new(
        "django",
        vec![crate::upstream::Server::Tcp("127.0.0.1:8000".to_owned())],
    );
    // A key cannot be compared.
    assert_eq!(
        format!("{:?}", config.upstreams),
        format!("{:?}", [expected])
    );
    let (entry, _) = config.routes.find("/any").unwrap();
    assert_eq!(entry.target.body_limit, ByteSize::mib(10));
    assert!(
        matches!(&entry.target.kind, RouteKind::Proxy { upstream, websocket: true, record: None, strip: None } if upstream == "django")
    );
}

#[test]
fn every_key_is_heard() {
    let config = good(FULL);
    assert_eq!((config.workers, config.server.max_connections), (3, 1000));
    assert_eq!(config.drain_spread, Duration::from_secs(5));
    assert!(config.trust.unix && config.trust.proxies.len() == 5);
    assert_eq!(
        config.upstreams[0].servers[0].to_string(),
        "unix:/run/$HOME.sock"
    );
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.buffer_request, Some(ByteSize::kib(64)));
    assert_eq!(upstream.buffer_response, None);
    let room = crate::upstream::Room {
        memory: ByteSize::mib(2),
        files: ByteSize::bytes(0),
        directory: Some("/".into()),
        ..crate::upstream::Room::default()
    };
    assert_eq!(config.buffers, room);
    assert_eq!(config.listen.len(), 7);
    let grant = config.tokens.verify(b"from-the-file").unwrap();
    assert_eq!(grant.name(), "billing");
    let times = (config.publish.idempotency, config.publish.ndjson_idle);
    assert_eq!(times, (Duration::from_secs(3600), Duration::from_secs(30)));
    assert!(config.tokens.has_webhooks() && config.upstreams[0].publish);
    assert_eq!(config.publish.rates["billing"].to_string(), "100/s");
    let (entry, _) = config.routes.find("/events/more/").unwrap();
    let RouteKind::Ask { ask, stream, .. } = &entry.target.kind else {
        panic!("an ask route");
    };
    assert_eq!(
        (ask.at_once, ask.cache),
        (4, Duration::ZERO),
        "routes share at_once, not the cache"
    );
    assert_eq!(stream.heartbeat, Duration::from_secs(10));
    assert_eq!(entry.target.body_limit, ByteSize::kib(1));
    assert_eq!(config.publish.max_body, ByteSize::mib(20));
    let access = config.access.unwrap();
    assert_eq!(access.to.to_string(), "/var/log/$HOME/access.log");
    assert_eq!(access.format, crate::wire::access::Format::Common);
}

#[test]
fn an_access_log_needs_only_its_place() {
    let config = good(&format!("{SHORT}[log]\naccess.to = \"-\"\n"));
    let expected = AccessSettings {
        to: crate::base::access::Destination::Stdout,
        format: crate::wire::access::Format::Combined,
    };
    assert_eq!(config.access.as_ref(), Some(&expected));
    assert_eq!(good(&show(&config)).access, Some(expected));
}

#[test]
fn a_recording_has_defaults_of_its_own() {
    let of = |text: &str| {
        let config = good(text);
        let kinds = config
            .routes
            .entries()
            .iter()
            .map(|entry| &entry.target.kind);
        let records = kinds.filter_map(|kind| match kind {
            RouteKind::Proxy { record, .. } => record.clone(),
            _ => None,
        });
        records.collect::<Vec<_>>()
    };
    let full = crate::record::Settings {
        replay: Replay::New,
        linger: Duration::from_secs(300),
        per: Per::All,
    };
    assert_eq!(of(FULL), [full]);
    let bare = SHORT.replace(
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = {} }",
    );
    assert_eq!(of(&bare), [crate::record::Settings::default()]);
    let flag = bare.replace("record = {}", "record = true");
    assert_eq!(of(&flag), [crate::record::Settings::default()]);
    assert_eq!(of(&bare.replace("record = {}", "record = false")), []);
    assert_eq!(of(SHORT), []);
}

#[test]
fn what_is_shown_reads_back() {
    for text in [SHORT, FULL] {
        let config = good(text);
        let shown = show(&config);
        assert!(
            !shown.contains("from-the") && !shown.contains("whsec_"),
            "secrets are masked"
        );
        let again = good(&tokens::unmasked(&shown));
        assert_eq!(format!("{again:#?}"), format!("{config:#?}"));
        assert_eq!(show(&again), shown);
    }
}

#[test]
fn two_routes_cannot_ask_one_upstream_at_two_rates() {
    let route = |n| {
        format!(
            "[[route]]\npath = \"/{n}/\"\nsse = {{ ask = {{ to = \"django\", at_once = {n} }} }}\n"
        )
    };
    let text = SHORT.replace("[[route]]", &format!("{}{}[[route]]", route(4), route(5)));
    let expected = "11:42: route[1].sse.ask.at_once: another route says 4 (all routes that ask \"django\" share one number)";
    assert_eq!(problems(&text), [expected]);
}

#[test]
fn ten_mistakes_are_told_in_one_run() {
    let text = r#"
[server]
host = ["*"]
[listen.http]
address = "127.0.0.1"
[upstream.django]
servers = ["127.0.0.1"]
connect_timeout = "2"
[[route]]
path = "events/"
sse = { ask = "djngo" }
[[route]]
path = "/<x>/"
sse = { channels = ["{y}"], public = true }
[limits]
body = 10
[log]
level = "loud"
"#;
    let found = parse(text, &Fixed).unwrap_err();
    let lines: Vec<_> = found.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3, 5, 7, 8, 10, 11, 14, 16, 18], "{found:#?}");
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    let keys: Vec<_> = parse("", &Fixed)
        .unwrap_err()
        .into_iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(keys, ["version", "listen", "route"]);
}

#[test]
fn a_secret_is_in_no_problem() {
    let tokens = "[publish]\ntokens = [{ name = \"a\", secret = \"${TOKEN}\", channels = [\"a b\"] }]\nmax_event = \"${TOKEN}\"\n";
    let found = problems(&format!("{SHORT}{tokens}"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        !found.concat().contains("from-the-environment"),
        "{found:#?}"
    );
}

#[test]
fn lines_that_are_no_toml_do_not_bring_others_along() {
    let found = problems(&SHORT.replace("[upstream.django]", "[upstream.django"));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = problems(&SHORT.replace("version = 1", "version = = 1\nother = true"));
    assert_eq!(found.len(), 2, "{found:#?}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        drop(parse(&text, &Fixed));
    }

    #[test]
    fn any_toml_like_text_is_read_without_panic(
        text in "(\\[{0,2}(route|sse|listen|upstream)(\\.a)?\\]{0,2}\n|(path|sse|ask|to)(\\.a)? ?= ?(\"[^\n]{0,6}\"|\\{ask=1\\}|\\[|\\{|[0-9]{1,30}|1\\.5|true)\n?){0,8}"
    ) {
        drop(parse(&text, &Fixed));
    }

    #[test]
    fn a_changed_file_is_read_without_panic(at in 0..FULL.len(), length in 0..40_usize, new in "[\\PC\n]{0,5}") {
        let start = (0..=at).rev().find(|i| FULL.is_char_boundary(*i)).unwrap_or(0);
        let end = (start + length..FULL.len()).find(|i| FULL.is_char_boundary(*i)).unwrap_or(FULL.len());
        let text = format!("{}{new}{}", &FULL[..start], &FULL[end..]);
        if let Ok(config) = parse(&text, &Fixed) {
            let shown = tokens::unmasked(&show(&config));
            prop_assert!(parse(&shown, &Fixed).is_ok(), "{shown}");
        }
    }
}
