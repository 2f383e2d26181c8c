//! Requests on routes that hold a stream.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, request};

use super::respond::Refusal;
use super::{Exchange, Kind, Proxy, Route};
use crate::ask::{Asker, TokenCheck};
use crate::domain::ChannelName;
use crate::hub::Session;
use crate::routes::{Captures, ChannelTemplate};
use crate::stream::{Body, Opening, Settings, Source};
use crate::wire::{cookies, cors, headers, last_event_id, path};

/// The methods of a view.
const ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The methods of a public route.
const READS: &str = "GET, HEAD";
/// The methods of an ask that pages of other origins may send. Django may know more, for pages of its own.
const ASKS: &str = "GET, HEAD, POST";

impl Route {
    /// What the route's own rules say of the readers of an answer to this request; `None` without rules.
    pub(super) fn cors(&self, request: &request::Parts) -> Option<cors::Answer> {
        let (rules, methods) = match &self.kind {
            Kind::Forward { .. } => (self.cors.as_ref(), ALL),
            Kind::Redirect(_) | Kind::Respond(_) | Kind::Static(_) => (self.cors.as_ref(), READS),
            Kind::Public { settings, .. } | Kind::Token { settings, .. } => {
                (settings.cors.as_ref(), READS)
            }
            Kind::Ask { settings, .. } => (settings.cors.as_ref(), ASKS),
        };
        Some(rules?.answer(request, methods))
    }
}

impl Proxy {
    pub(super) async fn open_public(
        &self,
        exchange: Exchange<'_>,
        templates: &[ChannelTemplate],
        settings: &Arc<Settings>,
    ) -> Result<Response<Body>, Refusal> {
        let Exchange {
            parts,
            client,
            captures,
            ..
        } = exchange;
        only_read(&parts.method)?;
        let channels = channels(templates, &captures)?;
        self.open(&parts, client, settings, Source::Public(channels))
            .await
    }

    pub(super) async fn open_token(
        &self,
        exchange: Exchange<'_>,
        check: &TokenCheck,
        settings: &Arc<Settings>,
    ) -> Result<Response<Body>, Refusal> {
        let Exchange { parts, client, .. } = exchange;
        only_read(&parts.method)?;
        let source = Source::Token {
            presented: check.find(&parts.headers, parts.uri.query()),
            path: parts.uri.path().to_owned(),
        };
        self.open(&parts, client, settings, source).await
    }

    pub(super) async fn open_asked(
        &self,
        exchange: Exchange<'_>,
        asker: &Asker,
        settings: &Arc<Settings>,
    ) -> Result<Response<Body>, Refusal> {
        // A preflight asks about the route (Fetch, section 4.8) and must not be held as if it were the request itself.
        // Where the route has rules of its own, it was answered before it came here.
        if exchange.parts.method == Method::OPTIONS {
            return self.forward(exchange, asker.upstream()).await;
        }
        let Exchange {
            parts,
            client,
            unread,
            site,
            route,
            rebuilt,
            ..
        } = exchange;
        let (limit, upstream) = (route.body_limit, asker.upstream());
        // Whole, whatever the upstream buffers: of a client whose stream is held nothing is read any more.
        let whole = limit.get();
        let body = self.take_body(site, &parts.headers, unread, limit, whole, upstream);
        let body = body.await?;
        self.open(
            &parts,
            client,
            settings,
            Source::Ask {
                asker: asker.clone(),
                head: Box::new(rebuilt.into_head()),
                body,
            },
        )
        .await
    }

    async fn open(
        &self,
        parts: &request::Parts,
        client: IpAddr,
        settings: &Arc<Settings>,
        source: Source,
    ) -> Result<Response<Body>, Refusal> {
        refuse_hidden(parts)?;
        let opening = Opening {
            head_only: parts.method == Method::HEAD,
            client,
            session: self.session(&parts.headers, settings),
            last: last_event_id::of_request(&parts.headers, parts.uri.query()),
            wants_stream: headers::accepts_event_stream(&parts.headers),
            source,
        };
        let answer = self.streams.open(settings, opening).await;
        let answer = answer.map_err(Refusal::Stream)?;
        self.effects.end_session(&parts.headers, answer.headers());
        Ok(answer)
    }

    /// The session of Django that comes with a request for a stream.
    pub(super) fn session(&self, request: &HeaderMap, settings: &Settings) -> Option<Session> {
        let name = settings.session_cookie.as_deref()?;
        let value = cookies::value(request, name)?;
        Some(self.hub.session(name, value))
    }
}

/// The channels that a path names, none twice.
pub(super) fn channels(
    templates: &[ChannelTemplate],
    captures: &Captures<'_>,
) -> Result<Vec<ChannelName>, Refusal> {
    let mut channels = Vec::with_capacity(templates.len());
    for template in templates {
        // A path that names no channel leads nowhere.
        let channel = template.fill(captures).map_err(|_| Refusal::NoRoute)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    Ok(channels)
}

/// Refuses a path that another reader could take apart differently: it must not decide who hears what.
pub(super) fn refuse_hidden(parts: &request::Parts) -> Result<(), Refusal> {
    if path::hides_separator(parts.uri.path()) {
        return Err(Refusal::HiddenSeparator);
    }
    Ok(())
}

/// Refuses what does not ask for a stream, where no view could say what it means.
pub(super) fn only_read(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) {
        Ok(())
    } else {
        Err(Refusal::Method(READS))
    }
}
