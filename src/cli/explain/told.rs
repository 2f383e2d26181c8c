//! What `explain` says: the way of a request as values, which are the JSON as well.

use http::header::{CONTENT_LENGTH, HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::request::Described;
use crate::cli::error::with_causes;
use crate::config::{self, Config, RouteKind, RouteTarget};
use crate::proxy::explain::{Explained, Found, Outcome, Purpose};
use crate::proxy::respond::Refusal;
use crate::routes::Entry;
use crate::stream::Body;
use crate::upstream::{Head, Settings, Vouched};
use crate::wire::headers;

/// Everything that is said.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) request: Described,
    /// Whether the host is served.
    pub(super) host: Host,
    /// The route that answers.
    pub(super) route: Option<Answering>,
    /// Those that would if it did not.
    pub(super) also_fits: Vec<Named>,
    /// What the request gets instead.
    pub(super) instead: Option<Answer>,
    /// What it gets from the gateway; `null` if Django answers.
    pub(super) answer: Option<Answer>,
    /// What Django is sent.
    pub(super) sent: Option<Sent>,
}

/// The request's host.
#[derive(Debug, Serialize)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    pub(super) served: bool,
}

/// A route.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    /// From 1.
    pub(super) number: usize,
    pub(super) line: Option<usize>,
    pub(super) path: String,
    pub(super) kind: &'static str,
}

/// The route that answers.
#[derive(Debug, Serialize)]
pub(super) struct Answering {
    #[serde(flatten)]
    pub(super) named: Named,
    #[serde(serialize_with = "as_object")]
    pub(super) parameters: Vec<(String, String)>,
    /// As the file would say it, with every default.
    pub(super) settings: Value,
    #[serde(skip)]
    pub(super) text: String,
}

/// An answer of the gateway's own.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Why, or what it is.
    pub(super) why: Option<String>,
    /// The file it would be, there or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Of an event stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) channels: Vec<String>,
    /// Those that say something of it.
    pub(super) headers: Vec<Header>,
}

/// A request to Django.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    pub(super) upstream: String,
    pub(super) servers: Vec<String>,
    pub(super) purpose: &'static str,
    /// How a body would come there.
    pub(super) body: String,
    pub(super) line: String,
    pub(super) headers: Vec<Header>,
    /// Of the client's headers, those that Django is not told, or not as the client said them.
    pub(super) removed: Vec<String>,
}

/// A header of a message.
#[derive(Debug, Serialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
    /// Whether the gateway says it.
    pub(super) ours: bool,
}

impl Told {
    pub(super) fn of(
        explained: Explained,
        request: Described,
        given: &HeaderMap,
        config: &Config,
        lines: &[usize],
    ) -> Self {
        let Explained {
            host,
            route,
            forwarded: _,
            instead,
            outcome,
        } = explained;
        let named = |place: usize| {
            let entry = config.routes.entries().get(place)?;
            Some(Named::of(place, entry, lines))
        };
        let also_fits = route.iter().flat_map(|route| &route.later);
        let also_fits = also_fits.filter_map(|place| named(*place)).collect();
        let target = route.as_ref().and_then(|found| {
            let entry = config.routes.entries().get(found.place)?;
            Some(&entry.target)
        });
        let internal = target.is_some_and(|target| target.internal);
        let (answer, sent) = match outcome {
            Outcome::Sent { head, purpose } => {
                let sent =
                    target.and_then(|target| Sent::of(&head, purpose, target, given, config));
                (None, sent)
            }
            Outcome::Refused(_) if internal => (Some(Answer::of_internal()), None),
            other => (Some(Answer::of(other)), None),
        };
        Self {
            request,
            host: Host {
                served: host.is_some(),
                name: host.or_else(|| given.get(HOST).map(shown)),
            },
            route: route.and_then(|found| {
                let named = named(found.place)?;
                Some(Answering::of(found, named, config))
            }),
            also_fits,
            instead: instead.as_ref().map(Answer::refusal),
            answer,
            sent,
        }
    }

    pub(super) fn as_json(&self) -> Value {
        serde_json::to_value(self).expect("texts and numbers can always be written as JSON")
    }
}

impl Named {
    fn of(place: usize, entry: &Entry<RouteTarget>, lines: &[usize]) -> Self {
        Self {
            number: place + 1,
            line: lines.get(place).copied(),
            path: entry.name.clone(),
            kind: match &entry.target.kind {
                RouteKind::Proxy { .. } => "proxy",
                RouteKind::Ask { .. } | RouteKind::Token { .. } | RouteKind::Public { .. } => "sse",
                RouteKind::Redirect(_) => "redirect",
                RouteKind::Respond(_) => "respond",
                RouteKind::Static { .. } => "static",
            },
        }
    }
}

impl Answering {
    fn of(found: Found, named: Named, config: &Config) -> Self {
        let text = config::show_route(config, found.place);
        let settings: Option<Value> = toml::from_str(&text).ok();
        let route = settings.as_ref().and_then(|file| file.get("route")?.get(0));
        Self {
            named,
            parameters: found.captured,
            settings: route.cloned().unwrap_or_default(),
            text,
        }
    }
}

impl Answer {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Refused(refusal) => Self::refusal(&refusal),
            Outcome::Answered(response) => Self::response(&response, None),
            Outcome::File { file, answer } => {
                let file = file.map(|file| file.display().to_string());
                match answer {
                    Ok(response) => Self::response(&response, file),
                    Err(refusal) => Self {
                        file,
                        ..Self::refusal(&refusal)
                    },
                }
            }
            Outcome::Public(channels) => {
                let names = channels.iter().map(|name| name.as_str().to_owned());
                Self::stream("everybody may listen".to_owned(), names.collect())
            }
            Outcome::Token(Ok(terms)) => {
                let user = terms.user.as_ref();
                let user =
                    user.map_or_else(String::new, |user| format!(", of {:?}", user.as_str()));
                let left = terms.expires.unwrap_or_default().as_secs();
                let names = terms.channels.iter().map(|name| name.as_str().to_owned());
                let why = format!("the token is good for {left} s{user}");
                Self::stream(why, names.collect())
            }
            Outcome::Token(Err(refused)) => Self {
                status: StatusCode::UNAUTHORIZED.as_u16(),
                why: Some(with_causes(&refused)),
                ..Self::default()
            },
            // Is told as a request.
            Outcome::Sent { .. } => Self::default(),
        }
    }

    fn of_internal() -> Self {
        let refusal = Self::refusal(&Refusal::NoRoute);
        let why = "the route is `internal`: only an X-Accel-Redirect of Django leads there";
        Self {
            why: Some(why.to_owned()),
            ..refusal
        }
    }

    fn refusal(refusal: &Refusal) -> Self {
        Self {
            status: refusal.status().as_u16(),
            why: Some(with_causes(refusal)),
            ..Self::default()
        }
    }

    fn response(response: &Response<Body>, file: Option<String>) -> Self {
        let headers = response.headers().iter();
        Self {
            status: response.status().as_u16(),
            why: response.headers().get(LOCATION).map(shown),
            file,
            channels: Vec::new(),
            headers: headers
                .map(|(name, value)| Header {
                    name: name.to_string(),
                    value: shown(value),
                    ours: true,
                })
                .collect(),
        }
    }

    fn stream(why: String, channels: Vec<String>) -> Self {
        Self {
            status: StatusCode::OK.as_u16(),
            why: Some(why),
            channels,
            ..Self::default()
        }
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: StatusCode::OK.as_u16(),
            why: None,
            file: None,
            channels: Vec::new(),
            headers: Vec::new(),
        }
    }
}

impl Sent {
    fn of(
        head: &Head,
        purpose: Purpose,
        target: &RouteTarget,
        given: &HeaderMap,
        config: &Config,
    ) -> Option<Self> {
        let name = match &target.kind {
            RouteKind::Proxy { upstream, .. } | RouteKind::Ask { upstream, .. } => upstream,
            RouteKind::Token { .. }
            | RouteKind::Public { .. }
            | RouteKind::Redirect(_)
            | RouteKind::Respond(_)
            | RouteKind::Static { .. } => return None,
        };
        let upstream = config.upstreams.iter().find(|known| known.name == *name)?;
        let headers = head.headers.iter().map(|(name, value)| Header {
            name: name.to_string(),
            value: shown(value),
            ours: is_ours(name, value, given),
        });
        let kept = |name: &HeaderName| {
            let mut given = given.get_all(name).iter();
            given.all(|value| head.headers.get_all(name).iter().any(|kept| kept == value))
                && !is_gateways(name)
        };
        let removed = given.keys().filter(|name| !kept(name));
        Some(Self {
            upstream: name.clone(),
            servers: upstream.servers.iter().map(ToString::to_string).collect(),
            purpose: match purpose {
                Purpose::Forward => "its answer is the client's",
                Purpose::Record => "its answer is the client's; an event stream is recorded",
                Purpose::Upgrade => "a WebSocket",
                Purpose::Ask => "it is asked who may listen to what",
            },
            body: body(upstream, target),
            line: format!("{} {} HTTP/1.1", head.method, head.target),
            headers: headers.collect(),
            removed: removed.map(ToString::to_string).collect(),
        })
    }
}

/// Whether a header of the request to Django is not the client's own.
fn is_ours(name: &HeaderName, value: &HeaderValue, given: &HeaderMap) -> bool {
    is_gateways(name) || !given.get_all(name).iter().any(|own| own == value)
}

/// Whether a header is the gateway's to say: that of a client never reaches Django, also if it says the same.
fn is_gateways(name: &HeaderName) -> bool {
    Vouched::says(name) || headers::is_spoken(name.as_str())
}

/// How a body comes to Django.
fn body(upstream: &Settings, target: &RouteTarget) -> String {
    let most = target.body_limit;
    match upstream.buffer_request {
        Some(memory) => format!(
            "gathered first, up to {most} (413 above), in memory up to {memory}, then in a temp file"
        ),
        None => {
            format!("passed on as it comes if it has a {CONTENT_LENGTH}, up to {most} (413 above)")
        }
    }
}

fn as_object<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
