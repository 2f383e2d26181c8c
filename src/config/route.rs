//! `[[route]]`: paths, and what each leads to.

use super::problem::name_hint;
use super::reader::{Report, Section, Value};
use super::scalar::Text;
use super::site::{MOST, client_rate};
use super::upstream::named;
use super::{RouteKind, RouteTarget, fixed, passwords, record, sse, statics, token};
use crate::domain::ByteSize;
use crate::routes::{ChannelTemplate, Entry, PathPattern, Table};
use crate::{ask, stream, upstream};

/// What a route may be; the key is the kind.
const KINDS: [&str; 5] = ["proxy", "sse", "static", "redirect", "respond"];

/// What all routes share while they are read.
struct Shared<'s, 'a> {
    report: &'a Report<'a>,
    upstreams: &'s [upstream::Settings],
    stream: &'s stream::Settings,
    body: ByteSize,
    /// The paths so far.
    paths: Vec<PathPattern>,
    /// For each upstream the asks at once, as far as a route named them.
    at_once: Vec<(String, usize)>,
}

/// All routes in order.
pub(super) fn routes(
    document: &mut Section<'_>,
    upstreams: &[upstream::Settings],
    stream: &stream::Settings,
    body: ByteSize,
) -> Table<RouteTarget> {
    let mut shared = Shared {
        report: document.report,
        upstreams,
        stream,
        body,
        paths: Vec::new(),
        at_once: Vec::new(),
    };
    let Some(written) = document.value("route") else {
        let hint = "as in [[route]] with path = \"/<path:rest>\" and proxy = \"django\"".to_owned();
        document.missing("route", "there is no [[route]]", Some(hint));
        return Table::new(Vec::new());
    };
    let written = written.list().unwrap_or_default();
    let mut entries: Vec<_> = written
        .iter()
        .filter_map(|value| {
            value
                .table("route[]", |section| shared.route(section))
                .flatten()
        })
        .collect();
    for entry in &mut entries {
        if let RouteKind::Ask { upstream, ask, .. } = &mut entry.target.kind
            && let Some((_, at_once)) = shared.at_once.iter().find(|(name, _)| name == upstream)
        {
            ask.at_once = *at_once;
        }
    }
    Table::new(entries)
}

impl<'a> Shared<'_, 'a> {
    fn route(&mut self, section: &mut Section<'a>) -> Option<Entry<RouteTarget>> {
        let pattern = section
            .required("path")
            .and_then(|value| value.text())
            .and_then(|text| self.path(&text));
        let (mut body_limit, mut rate) = (self.body, None);
        section.table("limits", "route[].limits", |section| {
            section.size("body", ByteSize::bytes(0)..=MOST, &mut body_limit);
            rate = client_rate(section, None);
        });
        one_kind(section);
        let proxy = section
            .value("proxy")
            .and_then(|value| self.proxy(&value, pattern.as_ref()));
        let mut held = section.value("sse").and_then(|value| {
            let held = value.table("route[].sse", |section| self.sse(section, pattern.as_ref()));
            held.flatten()
        });
        let redirect = section.value("redirect");
        let redirect = redirect.and_then(|value| fixed::redirect(&value, pattern.as_ref()));
        let respond = section.value("respond");
        let respond = respond.and_then(|value| fixed::respond(&value));
        let redirect = redirect.map(RouteKind::Redirect);
        let respond = respond.map(RouteKind::Respond);
        let basic_auth = passwords::basic_auth(section);
        let mut cors = section
            .table("cors", "route[].cors", sse::cors_rules)
            .flatten();
        if let Some(stream) = held.as_mut().and_then(RouteKind::stream_mut) {
            stream.cors = cors.take().or_else(|| stream.cors.take());
        }
        let files = section
            .value("static")
            .and_then(|value| statics::files(&value, pattern.as_ref()));
        let internal = statics::internal(section);
        let compress = section.flag("compress").unwrap_or(true);
        Some(Entry::new(
            pattern?,
            RouteTarget {
                kind: proxy.or(held).or(redirect).or(respond).or(files)?,
                body_limit,
                rate,
                basic_auth,
                cors,
                internal,
                compress,
            },
        ))
    }

    fn path(&mut self, text: &Text<'a>) -> Option<PathPattern> {
        let pattern = text.pattern(PathPattern::parse)?;
        if let Some(earlier) = self.paths.iter().find(|earlier| earlier.covers(&pattern)) {
            let hint = "the first route that fits answers: put this one before it".to_owned();
            let message = format!("never reached, for {:?} answers first", earlier.as_str());
            text.problem(message, Some(hint));
        }
        self.paths.push(pattern.clone());
        Some(pattern)
    }

    fn proxy(&self, value: &Value<'a>, pattern: Option<&PathPattern>) -> Option<RouteKind> {
        let (to, strip, websocket, record) = if value.is_table() {
            value.table("route[].proxy", |section| {
                let to = section.required("to").and_then(|value| value.text());
                let websocket = section.flag("websocket").unwrap_or(true);
                let strip = section.text("strip");
                let strip = strip.and_then(|text| fixed::strip(&text, pattern));
                (to, strip, websocket, record::record(section))
            })?
        } else {
            (value.text(), None, true, None)
        };
        let upstream = self.upstream(&to?)?;
        Some(RouteKind::Proxy {
            upstream,
            strip,
            websocket,
            record,
        })
    }

    fn upstream(&self, text: &Text<'a>) -> Option<String> {
        named(text, self.upstreams, self.report)
    }

    fn sse(
        &mut self,
        section: &mut Section<'a>,
        pattern: Option<&PathPattern>,
    ) -> Option<RouteKind> {
        let stream = sse::overrides(section, self.stream);
        let ask = section.value("ask");
        let token = section.value("token");
        let channels = section.value("channels");
        let public = section.value("public");
        let open = public.as_ref().and_then(Value::flag).unwrap_or(false);
        permission(
            section,
            ask.as_ref(),
            token.is_some(),
            channels.as_ref(),
            public.as_ref(),
            open,
        );
        let asked = ask.and_then(|value| self.ask(&value));
        let token = token.map(|value| token::token(&value));
        let channels = channels.map(|value| templates(&value, pattern));
        if let Some((upstream, ask)) = asked {
            return Some(RouteKind::Ask {
                upstream,
                ask,
                stream,
            });
        }
        if let Some(token) = token {
            return Some(RouteKind::Token {
                token: token?,
                stream,
            });
        }
        Some(RouteKind::Public {
            channels: channels?,
            stream,
        })
    }

    fn ask(&mut self, value: &Value<'a>) -> Option<(String, ask::Settings)> {
        let mut settings = ask::Settings::default();
        if !value.is_table() {
            return Some((self.upstream(&value.text()?)?, settings));
        }
        let (to, at_once) = value.table("route[].sse.ask", |section| {
            let to = section.required("to").and_then(|value| value.text());
            section.duration("cache", &mut settings.cache);
            (to, section.value("at_once"))
        })?;
        let upstream = self.upstream(&to?);
        if let Some(value) = at_once
            && let Some(at_once) = value.count(1..=100_000)
        {
            let upstream = upstream.clone()?;
            match self.at_once.iter().find(|(name, _)| *name == upstream) {
                Some((_, earlier)) if *earlier != at_once => {
                    let hint = format!("all routes that ask {upstream:?} share one number");
                    value.problem(format!("another route says {earlier}"), Some(hint));
                }
                Some(_) => {}
                None => self.at_once.push((upstream, at_once)),
            }
        }
        Some((upstream?, settings))
    }
}

/// Reports a route of no kind or of several.
fn one_kind(section: &mut Section<'_>) {
    let given: Vec<_> = KINDS
        .into_iter()
        .filter_map(|kind| Some((kind, section.value(kind)?)))
        .collect();
    match given.as_slice() {
        [] if section.has_misspelt(&KINDS) => {}
        [] => section.missing(
            "",
            "a route leads somewhere",
            Some(format!("one of {}", KINDS.join(", "))),
        ),
        [_] => {}
        [(first, _), others @ ..] => {
            for (kind, value) in others {
                let message = format!("a route has one of `{first}` and `{kind}`, not both");
                value.problem(message, None);
            }
        }
    }
}

/// Reports an `sse` route of which it is not clear who may listen.
fn permission(
    section: &Section<'_>,
    ask: Option<&Value<'_>>,
    token: bool,
    channels: Option<&Value<'_>>,
    public: Option<&Value<'_>>,
    open: bool,
) {
    if let Some(public) = public
        && open
    {
        if ask.is_some() || token {
            let hint = "who may listen is said once".to_owned();
            public.problem("`public = true` beside `ask` or `token`", Some(hint));
        } else if channels.is_none() {
            let hint = "as in channels = [\"news\"], public = true".to_owned();
            public.problem("a public route names its `channels`", Some(hint));
        }
        return;
    }
    if let Some(ask) = ask
        && token
    {
        ask.problem(
            "`ask` beside `token`",
            Some("who may listen is said once".to_owned()),
        );
    }
    match (channels, ask.is_some() || token) {
        (Some(channels), true) => channels.problem(
            "the channels of this route are Django's to name, not the file's",
            Some("leave out `channels`".to_owned()),
        ),
        (Some(channels), false) => channels.problem(
            "`channels` alone do not say who may listen",
            Some("add public = true if that is everybody".to_owned()),
        ),
        (None, true) => {}
        (None, false) => section.missing(
            "",
            "it is not said who may listen",
            Some("one of ask = \"django\", token = { … } and public = true".to_owned()),
        ),
    }
}

fn templates(value: &Value<'_>, pattern: Option<&PathPattern>) -> Vec<ChannelTemplate> {
    if value.is_empty_list() {
        value.problem("a stream without a channel", None);
    }
    let texts = value.texts().unwrap_or_default();
    texts
        .iter()
        .filter_map(|text| template(text, pattern))
        .collect()
}

fn template(text: &Text<'_>, pattern: Option<&PathPattern>) -> Option<ChannelTemplate> {
    let template = text.pattern(ChannelTemplate::parse)?;
    are_of_the_path(text, template.variables(), pattern);
    Some(template)
}

/// Reports variables that the path has not.
pub(super) fn are_of_the_path<'v>(
    text: &Text<'_>,
    variables: impl Iterator<Item = (usize, &'v str)>,
    pattern: Option<&PathPattern>,
) {
    let Some(pattern) = pattern else { return };
    for (at, name) in variables.filter(|(_, name)| !pattern.has(name)) {
        let known: Vec<_> = pattern.names().collect();
        let hint = name_hint(name, &known, "the path has");
        let hint = hint.unwrap_or_else(|| "the path has no variables".to_owned());
        text.problem_at(at, format!("the path has no {name:?}"), Some(hint));
    }
}

impl RouteKind {
    /// How the stream of an `sse` route behaves.
    pub(super) const fn stream(&self) -> Option<&stream::Settings> {
        match self {
            Self::Ask { stream, .. } | Self::Token { stream, .. } | Self::Public { stream, .. } => {
                Some(stream)
            }
            Self::Proxy { .. } | Self::Redirect(_) | Self::Respond(_) | Self::Static { .. } => None,
        }
    }

    const fn stream_mut(&mut self) -> Option<&mut stream::Settings> {
        match self {
            Self::Ask { stream, .. } | Self::Token { stream, .. } | Self::Public { stream, .. } => {
                Some(stream)
            }
            Self::Proxy { .. } | Self::Redirect(_) | Self::Respond(_) | Self::Static { .. } => None,
        }
    }
}
