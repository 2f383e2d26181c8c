//! What a reload changes, and what needs a restart: the one place that tells the two apart.
//!
//! [`settle`] names both, by key or by table, and puts back what cannot change, so that what is left is true as a whole.
//! Nothing is forgotten: the configuration is taken apart field by field, so a new one must be decided on here.

use std::sync::Arc;

use crate::base::access::Destination;
use crate::config::Config;
use crate::history::Reach;
use crate::proxy::{AccessSettings, Finish, Trust};
use crate::server::{Listen, Role};
use crate::upstream::Room;
use crate::wire::forwarded::ClientIpHeader;
use crate::wire::reload::Reloaded;
use crate::{publish, server, stream, tls, upstream};

/// Makes `wanted` what can be in force without a restart, and tells what of it is new, and what had to stay. `opened` is
/// where access lines can go.
pub(super) fn settle(
    running: &Config,
    wanted: &mut Config,
    opened: Option<&Destination>,
) -> Reloaded {
    let mut told = Told(Reloaded::default());
    let exposed = |listen: &Listen| {
        listen.role == Role::Internal && !listen.address.is_private() && !listen.is_certified()
    };
    if wanted.tokens.is_empty() && running.listen.iter().any(exposed) {
        // The file has a private listener in its place; until that is there, nobody may publish without a token.
        wanted.tokens = running.tokens.clone();
        let rates = &running.publish.rates;
        wanted.publish.rates.clone_from(rates);
        told.later("publish.tokens", running.tokens.is_empty());
    }
    if !go_together(&running.listen, &wanted.trust) {
        // The file has other listeners; those there are would refuse everybody, or take all clients for one.
        told.later("trust", kept(&running.trust, &mut wanted.trust));
    }
    let Config {
        server,
        listen,
        tls,
        hosts,
        workers,
        drain,
        drain_spread,
        trust,
        rate,
        upstreams,
        routes,
        history,
        stream,
        notify,
        publish,
        tokens,
        redis,
        log,
        access,
        finish,
        maintenance,
        connections,
        buffers,
        request_id,
        metrics,
        console,
    } = wanted;
    listeners(&running.listen, listen, &mut told);
    listen.clone_from(&running.listen);
    certificates(&running.tls, tls, &mut told);
    tls.clone_from(&running.tls);
    told.later("server.workers", kept(&running.workers, workers));
    told.now("server.hosts", running.hosts == *hosts);
    told.now("server.drain", running.drain == *drain);
    let spread = running.drain_spread == *drain_spread;
    told.now("server.drain_spread", spread);
    told.now("trust", running.trust == *trust);
    limits(&running.server, server, &mut told);
    told.now("limits.rate", running.rate == *rate);
    publishing(&running.publish, publish, &mut told);
    let same = running.tokens == *tokens && running.publish.rates == publish.rates;
    told.now("publish.tokens", same);
    named(&running.upstreams, upstreams, &mut told);
    told.now("route", running.routes == *routes);
    streams(&running.stream, stream, &mut told);
    let same = running.history.memory == history.memory;
    told.now("sse.history_memory", same);
    told.later("sse.notify", kept(&running.notify, notify));
    told.later("redis", kept(&running.redis, redis));
    told.now("log.level", running.log.level == log.level);
    told.later("log.format", kept(&running.log.format, &mut log.format));
    finishing(&running.finish, finish, &mut told);
    let same = running.maintenance == *maintenance;
    told.now("errors.maintenance", same);
    let same = running.connections == *connections;
    told.now("limits.connections", same);
    room(&running.buffers, buffers, &mut told);
    told.now("log.request_id", running.request_id == *request_id);
    told.later("metrics", kept(&running.metrics, metrics));
    told.later("console", kept(&running.console, console));
    access_log(running.access.as_ref(), access, opened, &mut told);
    told.0
}

/// Whether these listeners can do with this trust, as `config` demands of those of one file: whoever speaks the PROXY
/// protocol believes somebody, and where it names the clients, one speaks it.
fn go_together(listen: &[Listen], trust: &Trust) -> bool {
    if listen.iter().any(|listen| listen.proxy_protocol) {
        !trust.proxies.is_empty() || trust.unix
    } else {
        trust.client_ip != ClientIpHeader::ProxyProtocol
    }
}

/// Gathers the names.
struct Told(Reloaded);

impl Told {
    fn now(&mut self, key: impl Into<String>, same: bool) {
        if !same {
            self.0.changed.push(key.into());
        }
    }

    fn later(&mut self, key: impl Into<String>, same: bool) {
        if !same {
            self.0.restart.push(key.into());
        }
    }
}

/// Puts back what needs a restart; whether it was the same.
fn kept<T: Clone + PartialEq>(running: &T, wanted: &mut T) -> bool {
    let same = running == wanted;
    if !same {
        wanted.clone_from(running);
    }
    same
}

fn finishing(running: &Finish, wanted: &Finish, told: &mut Told) {
    let Finish {
        set,
        hsts,
        pages,
        compress,
    } = wanted;
    let same = running.set == *set && running.hsts == *hsts;
    told.now("headers", same);
    told.now("errors.pages", running.pages == *pages);
    told.now("compress", running.compress == *compress);
}

fn listeners(running: &[Listen], wanted: &[Listen], told: &mut Told) {
    for Listen {
        name,
        address,
        role,
        http2,
        redirect_https,
        proxy_protocol,
        tls,
    } in wanted
    {
        let Some(now) = running.iter().find(|listen| listen.name == *name) else {
            told.later(format!("listen.{name}"), false);
            continue;
        };
        let names = |all: &[Arc<tls::Settings>]| -> Vec<_> {
            all.iter().map(|tls| tls.name.clone()).collect()
        };
        for (key, same) in [
            ("address", now.address == *address),
            ("role", now.role == *role),
            ("http2", now.http2 == *http2),
            ("redirect_to_https", now.redirect_https == *redirect_https),
            ("proxy_protocol", now.proxy_protocol == *proxy_protocol),
            ("tls", names(&now.tls) == names(tls)),
        ] {
            told.later(format!("listen.{name}.{key}"), same);
        }
    }
    for Listen { name, .. } in running {
        let there = wanted.iter().any(|listen| listen.name == *name);
        told.later(format!("listen.{name}"), there);
    }
}

fn certificates(running: &[Arc<tls::Settings>], wanted: &[Arc<tls::Settings>], told: &mut Told) {
    let all = running.iter().chain(wanted);
    each_name(all.map(|tls| &tls.name), |name| {
        let of = |all: &[Arc<tls::Settings>]| all.iter().find(|tls| tls.name == name).cloned();
        told.later(format!("tls.{name}"), of(running) == of(wanted));
    });
}

fn named(running: &[upstream::Settings], wanted: &[upstream::Settings], told: &mut Told) {
    let all = running.iter().chain(wanted);
    each_name(all.map(|upstream| &upstream.name), |name| {
        let of = |all: &[upstream::Settings]| all.iter().find(|known| known.name == name).cloned();
        told.now(format!("upstream.{name}"), of(running) == of(wanted));
    });
}

/// Calls with each name once.
fn each_name<'n>(names: impl Iterator<Item = &'n String>, mut call: impl FnMut(&str)) {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
            call(name);
        }
    }
}

fn limits(running: &server::Settings, wanted: &mut server::Settings, told: &mut Told) {
    let server::Settings {
        max_connections,
        header,
        header_timeout,
        body_idle,
        keepalive,
        fast_path,
    } = wanted;
    let same = kept(&running.max_connections, max_connections);
    told.later("server.max_connections", same);
    told.later("server.fast_path", kept(&running.fast_path, fast_path));
    told.now("limits.header", running.header == *header);
    let same = running.header_timeout == *header_timeout;
    told.now("limits.header_timeout", same);
    told.now("limits.body_idle", running.body_idle == *body_idle);
    told.now("limits.keepalive", running.keepalive == *keepalive);
}

fn room(running: &Room, wanted: &mut Room, told: &mut Told) {
    let Room {
        memory,
        files,
        directory,
        most_open: _,
    } = wanted;
    told.later("limits.buffers_memory", kept(&running.memory, memory));
    told.later("limits.buffers_files", kept(&running.files, files));
    told.later("server.temp", kept(&running.directory, directory));
}

/// The rates belong to the tokens.
fn publishing(running: &publish::Settings, wanted: &publish::Settings, told: &mut Told) {
    let publish::Settings {
        max_event,
        max_body,
        rates: _,
        idempotency,
        ndjson_idle,
    } = wanted;
    told.now("limits.body", running.max_body == *max_body);
    told.now("publish.max_event", running.max_event == *max_event);
    let same = running.idempotency == *idempotency;
    told.now("publish.idempotency", same);
    let same = running.ndjson_idle == *ndjson_idle;
    told.now("publish.ndjson_idle", same);
}

fn streams(running: &stream::Settings, wanted: &stream::Settings, told: &mut Told) {
    let Reach {
        events,
        age,
        lag,
        closed_for,
    } = wanted.reach;
    let known = running.reach;
    let same = known.events == events && known.age == age;
    told.now("sse.history", same);
    told.now("sse.client_buffer", known.lag == lag);
    told.now("sse.closed_for", known.closed_for == closed_for);
    let rest = stream::Settings {
        reach: wanted.reach,
        ..running.clone()
    };
    told.now("sse", rest == *wanted);
}

/// Its lines may take another shape, or stop; where they go is opened at the start.
fn access_log(
    running: Option<&AccessSettings>,
    wanted: &mut Option<AccessSettings>,
    opened: Option<&Destination>,
    told: &mut Told,
) {
    if let Some(AccessSettings { to, format }) = wanted.as_ref()
        && opened != Some(to)
    {
        told.later("log.access.to", false);
        let format = *format;
        *wanted = running.map(|AccessSettings { to, .. }| AccessSettings {
            to: to.clone(),
            format,
        });
    }
    told.now("log.access", running == wanted.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Process, parse};

    fn config(text: &str) -> Config {
        let text = format!(
            "version = 1\n{text}\n[[route]]\npath = \"/\"\nrespond = {{ status = 200, body = \"\" }}\n"
        );
        parse(&text, &Process).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// What is told when `running` is to become `wanted`, and what is left of that.
    fn settled(running: &str, wanted: &str) -> (Reloaded, Config) {
        let mut wanted = config(wanted);
        (settle(&config(running), &mut wanted, None), wanted)
    }

    #[test]
    fn trust_waits_for_the_listeners_that_go_with_it() {
        let file = |spoken: bool, trust: &str| {
            format!(
                "[listen.http]\naddress = \"127.0.0.1:1\"\nproxy_protocol = {spoken}\n[trust]\n{trust}\n"
            )
        };
        let (some, other) = ("proxies = [\"10.0.0.0/8\"]", "proxies = [\"10.1.0.0/16\"]");
        let named = "proxies = [\"10.0.0.0/8\"]\nclient_ip = \"proxy-protocol\"";
        for (running, wanted, stays) in [
            ((true, some), (false, ""), true),
            ((true, some), (false, other), false),
            ((true, some), (true, other), false),
            ((true, some), (true, "proxies = [\"unix:\"]"), false),
            ((false, ""), (true, named), true),
            ((false, some), (true, named), true),
            ((false, ""), (true, some), false),
            ((false, some), (false, ""), false),
        ] {
            let file = |(spoken, trust)| file(spoken, trust);
            let (told, left) = settled(&file(running), &file(wanted));
            let trust = "trust".to_owned();
            let expected = if stays { running } else { wanted };
            assert_eq!(left.trust, config(&file(expected)).trust, "{wanted:?}");
            assert_eq!(told.restart.contains(&trust), stays, "{wanted:?}");
            assert_ne!(told.changed.contains(&trust), stays, "{wanted:?}");
        }
    }

    #[test]
    fn tokens_stay_while_others_can_reach_the_listener() {
        let file = |address: &str, tokens: &str| {
            format!(
                "[listen.http]\naddress = \"127.0.0.1:1\"\n[listen.internal]\naddress = \"{address}\"\n\
                 role = \"internal\"\n[publish]\ntokens = [{tokens}]\n"
            )
        };
        let token = "{ name = \"a\", secret = \"one\" }";
        let (told, left) = settled(&file("0.0.0.0:2", token), &file("127.0.0.1:2", ""));
        assert_eq!(told.restart, ["publish.tokens", "listen.internal.address"]);
        assert!(told.changed.is_empty() && !left.tokens.is_empty());
        let (told, left) = settled(&file("127.0.0.1:2", token), &file("127.0.0.1:2", ""));
        assert_eq!(told.changed, ["publish.tokens"]);
        assert!(told.restart.is_empty() && left.tokens.is_empty());
    }
}
