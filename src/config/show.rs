//! The configuration in force as TOML: defaults written out, secrets masked, everything else as it would be read again.

use std::fmt::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use super::acme::CHALLENGES;
use super::listen::ROLES;
use super::record::{PER, REPLAY};
use super::redis::FORMATS as REDIS_FORMATS;
use super::show_upstream::upstream;
use super::site::{ACCESS_FORMATS, FORMATS, LEVELS};
use super::sse::{DOWN, SLOW};
use super::tls::VERSIONS;
use super::token::{DJANGO, JWT, MASKED};
use super::trust::PROXY_PROTOCOL;
use super::values::{duration_text, range_text};
use super::{Config, RouteKind, RouteTarget, Trust, compress, show_edge, statics};
use crate::ask::TokenSettings;
use crate::domain::EventName;
use crate::limits::ClientRate;
use crate::routes::Entry;
use crate::server::Role;
use crate::wire::cors;
use crate::wire::forwarded::ClientIpHeader;
use crate::wire::host::HostRule;
use crate::wire::signed::Verifier;
use crate::{redis, stream, tls};

/// The file that says everything `config` says. A masked secret is written `***`.
pub fn show(config: &Config) -> String {
    let mut text = String::new();
    write(&mut text, config).expect("a string takes any text");
    text
}

/// The route at `place` of the table as the file would say it, or nothing if there is none.
pub fn show_route(config: &Config, place: usize) -> String {
    let mut text = String::new();
    if let Some(entry) = config.routes.entries().get(place) {
        route(&mut text, entry, config).expect("a string takes any text");
    }
    text
}

fn write(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "version = 1\n\n[server]")?;
    writeln!(out, "hosts = {}", list(config.hosts.iter().map(host)))?;
    writeln!(out, "workers = {}", config.workers)?;
    writeln!(out, "max_connections = {}", config.server.max_connections)?;
    writeln!(out, "fast_path = {}", config.server.fast_path)?;
    if let Some(directory) = &config.buffers.directory {
        writeln!(out, "temp = {}", quoted(&directory.to_string_lossy()))?;
    }
    writeln!(out, "drain = \"{}\"", duration_text(config.drain))?;
    writeln!(
        out,
        "drain_spread = \"{}\"",
        duration_text(config.drain_spread)
    )?;
    for listen in &config.listen {
        writeln!(out, "\n[listen.{}]", listen.name)?;
        writeln!(out, "address = {}", quoted(&listen.address.to_string()))?;
        writeln!(out, "role = \"{}\"", word(&ROLES, &listen.role))?;
        writeln!(out, "http2 = {}", listen.http2)?;
        let tls: Vec<_> = listen.tls.iter().map(|tls| tls.name.clone()).collect();
        match &*tls {
            [] => {}
            [one] => writeln!(out, "tls = \"{one}\"")?,
            all => writeln!(out, "tls = {}", list(all.iter().cloned()))?,
        }
        if listen.role == Role::Public {
            writeln!(out, "proxy_protocol = {}", listen.proxy_protocol)?;
            let redirects = listen.redirect_https.is_some();
            writeln!(out, "redirect_to_https = {redirects}")?;
        }
        if let Some(port) = listen.redirect_https {
            writeln!(out, "redirect_port = {port}")?;
        }
    }
    for settings in &config.tls {
        tls(out, settings)?;
    }
    trust(out, &config.trust)?;
    for settings in &config.upstreams {
        upstream(out, settings)?;
    }
    for entry in config.routes.entries() {
        route(out, entry, config)?;
    }
    sse(out, config)?;
    publish(out, config)?;
    if let Some(settings) = &config.redis {
        redis(out, settings)?;
    }
    let server = &config.server;
    writeln!(out, "\n[limits]")?;
    writeln!(out, "body = \"{}\"", config.publish.max_body)?;
    writeln!(out, "header = \"{}\"", server.header)?;
    writeln!(
        out,
        "header_timeout = \"{}\"",
        duration_text(server.header_timeout)
    )?;
    writeln!(out, "body_idle = \"{}\"", duration_text(server.body_idle))?;
    writeln!(out, "keepalive = \"{}\"", duration_text(server.keepalive))?;
    let connections = number(config.connections);
    writeln!(out, "connections = {connections}")?;
    writeln!(out, "buffers_memory = \"{}\"", config.buffers.memory)?;
    writeln!(out, "buffers_files = \"{}\"", config.buffers.files)?;
    match config.rate {
        None => writeln!(out, "rate = \"0\"")?,
        Some(ClientRate { rate, burst }) => {
            writeln!(out, "rate = \"{rate}\"\nburst = {burst}")?;
        }
    }
    compress::show(out, config.finish.compress.as_ref())?;
    show_edge::edge(out, config)?;
    log(out, config)?;
    let metrics = &config.metrics;
    writeln!(out, "\n[metrics]\npath = \"{}\"", metrics.path)?;
    writeln!(out, "per_channel = {}", metrics.per_channel)?;
    writeln!(out, "\n[console]\nenabled = {}", config.console)
}

fn log(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "\n[log]")?;
    writeln!(out, "level = \"{}\"", word(&LEVELS, &config.log.level))?;
    writeln!(out, "format = \"{}\"", word(&FORMATS, &config.log.format))?;
    writeln!(out, "request_id = {}", quoted(config.request_id.as_str()))?;
    if let Some(access) = &config.access {
        let (to, format) = (
            quoted(&access.to.to_string()),
            word(&ACCESS_FORMATS, &access.format),
        );
        writeln!(out, "access = {{ to = {to}, format = \"{format}\" }}")?;
    }
    Ok(())
}

fn tls(out: &mut String, settings: &tls::Settings) -> fmt::Result {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    writeln!(out, "\n[tls.{}]", settings.name)?;
    match &settings.source {
        tls::Source::Files(files) => {
            writeln!(out, "cert = {}", path(&files.cert))?;
            writeln!(out, "key = {}", path(&files.key))?;
        }
        tls::Source::SelfSigned(names) => {
            writeln!(out, "self_signed = {}", list(names.names()))?;
        }
        tls::Source::Acme(settings) => acme(out, settings)?,
    }
    if let Some(clients) = &settings.clients {
        writeln!(out, "client_ca = {}", path(&clients.ca))?;
    }
    let version = word(&VERSIONS, &settings.min_version);
    writeln!(out, "min_version = \"{version}\"")
}

fn acme(out: &mut String, settings: &tls::Acme) -> fmt::Result {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let domains = list(settings.domains.iter().cloned());
    write!(
        out,
        "acme = {{ domains = {domains}, cache = {}",
        path(&settings.cache)
    )?;
    if let Some(contact) = &settings.contact {
        let contact = contact.strip_prefix("mailto:").unwrap_or(contact);
        write!(out, ", contact = {}", quoted(contact))?;
    }
    write!(out, ", directory = {}", quoted(&settings.directory))?;
    if let Some(ca) = &settings.client.files().ca {
        write!(out, ", ca = {}", path(ca))?;
    }
    if let Some(challenge) = &settings.challenge {
        write!(out, ", challenge = \"{}\"", word(&CHALLENGES, challenge))?;
    }
    if let Some(external) = &settings.external_account {
        let key_id = quoted(&external.key_id);
        write!(
            out,
            ", external_account = {{ key_id = {key_id}, hmac = \"{MASKED}\" }}"
        )?;
    }
    writeln!(out, " }}")
}

fn trust(out: &mut String, trust: &Trust) -> fmt::Result {
    let proxies = trust.proxies.iter().map(ToString::to_string);
    let unix = trust.unix.then(|| "unix:".to_owned());
    let client_ip = match &trust.client_ip {
        ClientIpHeader::XForwardedFor => "x-forwarded-for",
        ClientIpHeader::Named(name) => name.as_str(),
        ClientIpHeader::ProxyProtocol => PROXY_PROTOCOL,
    };
    writeln!(out, "\n[trust]")?;
    writeln!(out, "proxies = {}", list(proxies.chain(unix)))?;
    writeln!(out, "client_ip = {}", quoted(client_ip))
}

fn route(out: &mut String, entry: &Entry<RouteTarget>, config: &Config) -> fmt::Result {
    writeln!(out, "\n[[route]]")?;
    writeln!(out, "path = {}", quoted(entry.pattern.as_str()))?;
    match &entry.target.kind {
        RouteKind::Proxy {
            upstream,
            strip,
            websocket,
            record,
        } => {
            let to = quoted(upstream);
            write!(out, "proxy = {{ to = {to}, websocket = {websocket}")?;
            if let Some(strip) = strip {
                write!(out, ", strip = {}", quoted(strip))?;
            }
            if let Some(record) = record {
                let (replay, per) = (word(&REPLAY, &record.replay), word(&PER, &record.per));
                let linger = duration_text(record.linger);
                write!(
                    out,
                    ", record = {{ replay = \"{replay}\", linger = \"{linger}\", per = \"{per}\" }}"
                )?;
            }
            writeln!(out, " }}")?;
        }
        RouteKind::Ask {
            upstream,
            ask,
            stream,
        } => {
            let (to, cache) = (quoted(upstream), duration_text(ask.cache));
            let at_once = ask.at_once;
            write!(
                out,
                "sse = {{ ask = {{ to = {to}, at_once = {at_once}, cache = \"{cache}\" }}"
            )?;
            overrides(out, stream, &config.stream)?;
        }
        RouteKind::Token { token, stream } => {
            write!(out, "sse = {{ token = {{ ")?;
            self::token(out, token)?;
            write!(out, " }}")?;
            overrides(out, stream, &config.stream)?;
        }
        RouteKind::Public { channels, stream } => {
            let channels = channels.iter().map(|channel| channel.as_str().to_owned());
            write!(out, "sse = {{ channels = {}, public = true", list(channels))?;
            overrides(out, stream, &config.stream)?;
        }
        RouteKind::Redirect(redirect) => show_edge::redirect(out, redirect)?,
        RouteKind::Respond(fixed) => show_edge::respond(out, fixed)?,
        RouteKind::Static { files, .. } => statics::show(out, files)?,
    }
    if entry.target.internal {
        writeln!(out, "internal = true")?;
    }
    if !entry.target.compress {
        writeln!(out, "compress = false")?;
    }
    let RouteTarget {
        basic_auth, cors, ..
    } = &entry.target;
    show_edge::access(out, basic_auth.as_ref(), cors.as_ref())?;
    write!(out, "limits = {{ body = \"{}\"", entry.target.body_limit)?;
    if let Some(ClientRate { rate, burst }) = entry.target.rate {
        write!(out, ", rate = \"{rate}\"")?;
        // A burst as large as its rate may be larger than one that may be written.
        if burst != rate.count {
            write!(out, ", burst = {burst}")?;
        }
    }
    writeln!(out, " }}")
}

/// A public key is no secret, and is shown.
fn token(out: &mut String, settings: &TokenSettings) -> fmt::Result {
    match &settings.verifier {
        Verifier::Django(django) => {
            let (salt, max_age) = (quoted(django.salt()), duration_text(django.max_age()));
            write!(
                out,
                "kind = \"{DJANGO}\", key = \"{MASKED}\", salt = {salt}, max_age = \"{max_age}\""
            )?;
        }
        Verifier::Jwt(jwt) => {
            let key = quoted(jwt.public_key().unwrap_or(MASKED));
            write!(
                out,
                "kind = \"{JWT}\", alg = \"{}\", key = {key}",
                jwt.algorithm()
            )?;
            for (name, value) in [("audience", jwt.audience()), ("issuer", jwt.issuer())] {
                if let Some(value) = value {
                    write!(out, ", {name} = {}", quoted(value))?;
                }
            }
        }
    }
    let from = settings.from.iter().map(ToString::to_string);
    write!(out, ", from = {}", list(from))
}

/// Ends the line of an `sse` route with what it has differently.
fn overrides(
    out: &mut String,
    settings: &stream::Settings,
    defaults: &stream::Settings,
) -> fmt::Result {
    for ((key, value), (_, default)) in stream_keys(settings).iter().zip(stream_keys(defaults)) {
        if *value != default {
            write!(out, ", {key} = {value}")?;
        }
    }
    if let Some(rules) = settings.cors.as_ref()
        && settings.cors != defaults.cors
    {
        write!(out, ", cors = {}", cors(rules))?;
    }
    writeln!(out, " }}")
}

/// The keys that `[sse]` and a route have in common, with their values as TOML.
fn stream_keys(settings: &stream::Settings) -> [(&'static str, String); 14] {
    let reach = &settings.reach;
    let (events, age) = (reach.events, duration_text(reach.age));
    let event = |name: Option<&EventName>| quoted(name.map_or("", EventName::as_str));
    [
        ("heartbeat", quoted(&duration_text(settings.heartbeat))),
        ("heartbeat_event", event(settings.beat.name())),
        ("heartbeat_data", quoted(settings.beat.data())),
        ("retry", quoted(&range_text(&settings.retry))),
        ("slow_client", quoted(word(&SLOW, &settings.slow_client))),
        (
            "session_cookie",
            quoted(settings.session_cookie.as_deref().unwrap_or_default()),
        ),
        ("open_event", event(settings.open_event.as_ref())),
        ("backend_down", quoted(word(&DOWN, &settings.backend_down))),
        ("per_ip", number(settings.per_ip)),
        ("per_user", number(settings.per_user)),
        (
            "recheck",
            quoted(&duration_text(settings.recheck.unwrap_or_default())),
        ),
        (
            "history",
            format!("{{ events = {events}, age = {} }}", quoted(&age)),
        ),
        ("client_buffer", quoted(&reach.lag.to_string())),
        ("closed_for", quoted(&duration_text(reach.closed_for))),
    ]
}

pub(super) fn cors(rules: &cors::Rules) -> String {
    let (origins, credentials) = match rules {
        cors::Rules::Any => (list(["*".to_owned()].into_iter()), false),
        cors::Rules::Listed {
            origins,
            credentials,
        } => (list(origins.iter().map(ToString::to_string)), *credentials),
    };
    format!("{{ origins = {origins}, credentials = {credentials} }}")
}

/// A limit; 0 is none.
pub(super) fn number(limit: Option<NonZeroUsize>) -> String {
    limit.map_or(0, NonZeroUsize::get).to_string()
}

fn sse(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "\n[sse]")?;
    for (key, value) in stream_keys(&config.stream) {
        writeln!(out, "{key} = {value}")?;
    }
    if let Some(rules) = &config.stream.cors {
        writeln!(out, "cors = {}", cors(rules))?;
    }
    writeln!(out, "history_memory = \"{}\"", config.history.memory)?;
    let Some(notify) = &config.notify else {
        return Ok(());
    };
    let (to, path) = (quoted(&notify.upstream), quoted(notify.path.as_str()));
    writeln!(out, "notify = {{ to = {to}, path = {path} }}")?;
    writeln!(out, "notify_secret = \"***\"")?;
    let leave_after = duration_text(notify.leave_after);
    writeln!(out, "leave_after = \"{leave_after}\"")
}

fn publish(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "\n[publish]")?;
    let settings = &config.publish;
    writeln!(out, "max_event = \"{}\"", settings.max_event)?;
    for (key, duration) in [
        ("idempotency", settings.idempotency),
        ("ndjson_idle", settings.ndjson_idle),
    ] {
        writeln!(out, "{key} = \"{}\"", duration_text(duration))?;
    }
    if config.tokens.is_empty() {
        return writeln!(out, "tokens = []");
    }
    writeln!(out, "tokens = [")?;
    for token in config.tokens.iter() {
        write!(out, "  {{ name = {}", quoted(&token.name))?;
        if token.secret.is_some() {
            write!(out, ", secret = \"***\"")?;
        }
        if token.webhook.is_some() {
            write!(out, ", webhook = \"***\"")?;
        }
        if !token.channels.is_empty() {
            let channels = token
                .channels
                .iter()
                .map(|pattern| pattern.as_str().to_owned());
            write!(out, ", channels = {}", list(channels))?;
        }
        if let Some(rate) = settings.rates.get(&token.name) {
            write!(out, ", rate = \"{rate}\"")?;
        }
        writeln!(out, " }},")?;
    }
    writeln!(out, "]")
}

fn redis(out: &mut String, settings: &redis::Settings) -> fmt::Result {
    writeln!(out, "\n[redis]")?;
    writeln!(out, "url = {}", quoted(&settings.address.to_string()))?;
    for listen in &settings.listen {
        writeln!(out, "\n[[redis.listen]]")?;
        writeln!(out, "channel = {}", quoted(&listen.channel))?;
        let format = word(&REDIS_FORMATS, &listen.format);
        writeln!(out, "format = \"{format}\"")?;
        writeln!(out, "to = {}", quoted(listen.to.as_str()))?;
    }
    Ok(())
}

fn host(rule: &HostRule) -> String {
    match rule {
        HostRule::Any => "*".to_owned(),
        HostRule::Exact(name) => name.clone(),
        HostRule::Below(name) => format!(".{name}"),
    }
}

pub(super) fn list(members: impl Iterator<Item = String>) -> String {
    let members: Vec<_> = members.map(|member| quoted(&member)).collect();
    format!("[{}]", members.join(", "))
}

/// A TOML string that reads back as `text`, dollar signs included.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.replace('$', "$$")).to_string()
}

pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, known)| known == value);
    found.map_or("", |(word, _)| word)
}
