//! The requests that follow a link which Django gave: what comes next on a stream, and that a client is gone.
//!
//! Nothing of a client is in them, so answers may be shared, but only between questions that are equal in every byte, and
//! only until the request is sent. Bounds: `links_at_once` requests to one upstream, the others wait in order; streams that
//! miss nothing have half of the places, so that those who do are not behind all of them; [`MOST_GONE`] farewells wait,
//! beyond, they are dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::answer::{Held, Unreadable, read};
use super::waiting::{Offer, Turning, Waiting};
use crate::base::metrics::{CounterBy, Registry};
use crate::base::seldom::Seldom;
use crate::base::sync::lock;
use crate::domain::Frame;
use crate::limits::{Slot, Slots};
use crate::upstream::{Grip, Head, RequestBody, Upstream, UpstreamError};
use crate::wire::forwarded::HOST as HOST_ASKED;
use crate::wire::grip::{GRIP_LAST, last};
use crate::wire::path::target_without_prefix;

/// Farewells that wait or are on their way.
const MOST_GONE: usize = 1024;
/// Different things of which many streams may have the same.
const MOST_COMMON: usize = 32;
/// How often the log says that links fail.
const WARNINGS: Duration = Duration::from_secs(10);
/// How long all farewells together may take at the end of the gateway.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows the links of one upstream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Links(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    grip: Grip,
    at_once: Slots,
    /// Those of them that streams may have which miss nothing.
    idle_at_once: Slots,
    /// Questions that wait for a place: whoever has the same one, and misses nothing or something as well, waits for the same
    /// answer.
    waiting: Mutex<HashMap<Asked, Shared>>,
    /// What many streams have in common, so that each needs none of its own; the oldest go.
    sites: Mutex<VecDeque<Arc<Site>>>,
    beats: Mutex<VecDeque<Frame>>,
    tasks: TaskTracker,
    may_wait: Slots,
    /// When to tell of links that fail: one that does is often all of them.
    seldom: Seldom,
    metrics: Metrics,
}

/// The metrics of all upstreams' links.
#[derive(Debug, Clone)]
pub struct Metrics {
    followed: CounterBy,
}

/// Whom the first request was for: what Django is told of it again. No client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Site {
    /// `Host`.
    pub host: HeaderValue,
    /// What of the address the client used was forwarded, by the headers' names.
    pub forwarded: [(HeaderName, Option<HeaderValue>); 3],
    /// What the path it came by had before what Django sees. Unset: nothing.
    pub strip: Option<Box<str>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) site: Arc<Site>,
    pub(super) target: PathAndQuery,
    /// The values of `Grip-Last`.
    pub(super) last: Vec<HeaderValue>,
}

/// One, and whether who asks it misses nothing.
type Asked = (Question, bool);

/// What came of it; shared by those who had the same question.
pub(super) type Outcome = Arc<Result<Held, LinkError>>;

/// A question that waits for a place, and how many wait for its answer.
#[derive(Debug, Default)]
struct Shared {
    answer: Arc<OnceCell<Outcome>>,
    count: usize,
}

/// Why a link gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Django could not be reached, or did not answer.
    #[error("the link could not be followed")]
    Down(#[source] UpstreamError),
    /// Django answers, but not with 2xx.
    #[error("the link is answered with {0}")]
    Refused(StatusCode),
    /// What it answers cannot be held.
    #[error("the answer to the link cannot be read")]
    Unreadable(#[source] Unreadable),
    /// It was not asked, by who misses nothing.
    #[error("there is maintenance")]
    Maintenance,
}

impl Metrics {
    /// Registers them, once for all upstreams.
    pub fn new(registry: &Registry) -> Self {
        Self {
            followed: registry.counter_by("links_followed", "Links of held answers, by outcome"),
        }
    }

    fn count(&self, outcome: &'static str) {
        self.followed.get_or_create(&[("outcome", outcome)]).inc();
    }
}

impl Site {
    /// Its names in whole links: Django may go by the one that a trusted proxy was asked for.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        let named = self
            .forwarded
            .iter()
            .filter(|(name, _)| *name == HOST_ASKED);
        let named = named.filter_map(|(_, value)| value.as_ref());
        std::iter::once(&self.host)
            .chain(named)
            .map(|host| host.to_str().unwrap_or_default())
    }

    /// What Django is sent of the target of a link on the page `base`. With `FORCE_SCRIPT_NAME` it writes links as its
    /// clients do; the path of the page itself is its own, whatever it begins with.
    pub(super) fn sent(&self, base: &PathAndQuery, target: PathAndQuery) -> PathAndQuery {
        let strip = self
            .strip
            .as_deref()
            .filter(|_| target.path() != base.path());
        let rest = strip.and_then(|strip| target_without_prefix(&target, strip));
        rest.unwrap_or(target)
    }
}

impl Links {
    /// Those of `upstream`, whose settings say `grip`.
    pub fn new(upstream: Upstream, grip: Grip, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            at_once: Slots::new(grip.links_at_once.get()),
            idle_at_once: Slots::new(grip.links_at_once.get().div_ceil(2)),
            upstream,
            grip,
            waiting: Mutex::default(),
            sites: Mutex::default(),
            beats: Mutex::default(),
            tasks: TaskTracker::new(),
            may_wait: Slots::new(MOST_GONE),
            seldom: Seldom::every(WARNINGS),
            metrics,
        }))
    }

    /// The same for `upstream`, which is there in place of the other now: both have the same places, and nothing else keeps the
    /// other one.
    #[must_use]
    pub fn led_to(&self, upstream: &Upstream) -> Self {
        if self.0.upstream.is(upstream) {
            return self.clone();
        }
        let Inner {
            at_once,
            idle_at_once,
            may_wait,
            ..
        } = &*self.0;
        Self(Arc::new(Inner {
            upstream: upstream.clone(),
            grip: self.0.grip.clone(),
            at_once: at_once.clone(),
            idle_at_once: idle_at_once.clone(),
            waiting: Mutex::default(),
            sites: Mutex::default(),
            beats: Mutex::default(),
            tasks: TaskTracker::new(),
            may_wait: may_wait.clone(),
            seldom: Seldom::every(WARNINGS),
            metrics: self.0.metrics.clone(),
        }))
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// What the settings say.
    pub fn grip(&self) -> &Grip {
        &self.0.grip
    }

    /// Tells the operator of a link that failed.
    pub(super) fn tell(&self, error: &LinkError, path: &str) {
        if self.0.seldom.now() {
            let (upstream, error) = (self.upstream_name(), error as &dyn std::error::Error);
            tracing::warn!(upstream, path, error, "Link failed");
        }
    }

    /// How long an answer of this upstream may take to be all there.
    pub(super) fn patience(&self) -> Duration {
        self.0.upstream.current().settings().response_timeout
    }

    pub(super) fn upstream_name(&self) -> &str {
        &self.0.upstream.settings().name
    }

    /// Waits, not for long, until Django has heard of those who are gone.
    pub async fn close(&self) {
        self.0.tasks.close();
        drop(timeout(PATIENCE, self.0.tasks.wait()).await);
    }

    /// Whether it is the same one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody but the caller has it, nor a request of it.
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.tasks.is_empty()
    }

    /// `site`, shared with others that have the same, and no part of their requests' memory.
    pub(super) fn site(&self, site: &Site) -> Arc<Site> {
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        common(
            &self.0.sites,
            |known| **known == *site,
            || {
                let forwarded = site.forwarded.clone();
                Arc::new(Site {
                    host: copy(&site.host).unwrap_or_else(|| site.host.clone()),
                    forwarded: forwarded.map(|(name, value)| (name, value.as_ref().and_then(copy))),
                    strip: site.strip.clone(),
                })
            },
        )
    }

    /// A frame of `data`, shared with others that send the same.
    pub(super) fn beat(&self, data: &[u8]) -> Frame {
        let is_it = |known: &Frame| known.as_bytes() == data;
        common(&self.0.beats, is_it, || Frame::new(data))
    }

    /// Waits until a stream that misses nothing may ask, in the order of waiting.
    pub(super) fn turn(&self) -> Turning {
        let (slots, offer) = (self.0.idle_at_once.clone(), Arc::new(Offer::default()));
        let offering = Arc::clone(&offer).a_place(slots, self.0.upstream.maintenance().clone());
        let task = self.task(offering);
        Turning { offer, _task: task }
    }

    /// Goes on by itself: a stream whose client does not read is not looked at, and must not keep others waiting.
    fn task<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Waiting<T> {
        Waiting(AbortOnDropHandle::new(self.0.tasks.spawn(work)))
    }

    /// Asks, in the order of asking. `turn` is kept until there is an answer; who has none misses something, and waits for the
    /// end of maintenance.
    pub(super) fn follow(&self, question: Question, turn: Option<Slot>) -> Waiting<Outcome> {
        let links = self.clone();
        self.task(async move {
            let outcome = links.ask(question, turn.is_some()).await;
            drop(turn);
            outcome
        })
    }

    async fn ask(&self, question: Question, misses_nothing: bool) -> Outcome {
        // If the one who waits for a place leaves, the next one takes over.
        let asked = (question, misses_nothing);
        let waits = Waits::new(self, &asked);
        let answer = async {
            let maintenance = self.0.upstream.maintenance();
            // Nobody keeps a place while it waits for the end of maintenance: such a stream delivers things meanwhile, but not
            // while it waits here.
            let (_slot, leaves) = loop {
                let slot = self.0.at_once.wait().await;
                let is_on = maintenance.is_on().await;
                if misses_nothing || !is_on {
                    break (slot, is_on);
                }
                drop(slot);
                maintenance.over().await;
            };
            // Who comes from now on may know of what this answer does not.
            lock(&self.0.waiting).remove(&asked);
            Arc::new(if leaves {
                Err(LinkError::Maintenance)
            } else {
                self.send(&asked.0).await
            })
        };
        Arc::clone(waits.answer.get_or_init(|| answer).await)
    }

    async fn send(&self, question: &Question) -> Result<Held, LinkError> {
        let head = self.head(Method::GET, question);
        let upstream = &self.0.upstream;
        let answer = upstream.send(&head, RequestBody::Empty, Duration::ZERO);
        let held = match answer.await {
            Err(error) => Err(LinkError::Down(error)),
            Ok(answer) if !answer.status().is_success() => Err(LinkError::Refused(answer.status())),
            Ok(answer) => {
                let read = read(answer, self.patience()).await;
                read.map(|(held, _)| held).map_err(LinkError::Unreadable)
            }
        };
        self.0.metrics.count(match &held {
            Ok(_) => "answered",
            Err(LinkError::Down(_)) => "down",
            Err(LinkError::Refused(_)) => "refused",
            Err(LinkError::Unreadable(_)) => "unreadable",
            Err(LinkError::Maintenance) => "maintenance",
        });
        held
    }

    /// Tells Django that a client is gone.
    pub(super) fn say_gone(&self, question: Question) {
        // At the very end of the program there is no runtime any more.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let Some(waits) = self.0.may_wait.take() else {
            return self.0.metrics.count("dropped");
        };
        let links = self.clone();
        let task = async move {
            let _turn = links.0.idle_at_once.wait().await;
            let _slot = links.0.at_once.wait().await;
            links.0.upstream.maintenance().over().await;
            let mut head = links.head(Method::POST, &question);
            head.headers.insert(CONTENT_LENGTH, 0.into());
            let answer = links
                .0
                .upstream
                .send(&head, RequestBody::Empty, Duration::ZERO);
            let outcome = if answer.await.is_ok() { "gone" } else { "down" };
            links.0.metrics.count(outcome);
            drop(waits);
        };
        drop(self.0.tasks.spawn_on(task, &runtime));
    }

    fn head(&self, method: Method, question: &Question) -> Head {
        let Site {
            host, forwarded, ..
        } = &*question.site;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.clone());
        for (name, value) in forwarded {
            headers.extend(value.clone().map(|value| (name.clone(), value)));
        }
        for value in &question.last {
            headers.append(GRIP_LAST, value.clone());
        }
        self.0.upstream.sign(&mut headers);
        Head {
            method,
            target: question.target.clone(),
            headers,
        }
    }
}

/// One who waits for an answer, a guard: the last to leave takes the question along.
struct Waits<'l> {
    links: &'l Links,
    asked: &'l Asked,
    answer: Arc<OnceCell<Outcome>>,
}

impl<'l> Waits<'l> {
    fn new(links: &'l Links, asked: &'l Asked) -> Self {
        let mut table = lock(&links.0.waiting);
        let waiting = table.entry(asked.clone()).or_default();
        waiting.count += 1;
        Self {
            links,
            asked,
            answer: Arc::clone(&waiting.answer),
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut table = lock(&self.links.0.waiting);
        let Some(waiting) = table.get_mut(self.asked) else {
            return;
        };
        // It may be the same question asked anew.
        if Arc::ptr_eq(&waiting.answer, &self.answer) {
            waiting.count -= 1;
            if waiting.count == 0 {
                table.remove(self.asked);
            }
        }
    }
}

/// What is known already, or is from now on.
fn common<T: Clone>(
    all: &Mutex<VecDeque<T>>,
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> T {
    let mut all = lock(all);
    if let Some(known) = all.iter().find(|known| is_it(known)) {
        return known.clone();
    }
    if all.len() >= MOST_COMMON {
        all.pop_front();
    }
    let made = make();
    all.push_back(made.clone());
    made
}

/// What Django is told that the client has.
pub(super) fn grip_last<'t>(known: impl Iterator<Item = (&'t str, &'t str)>) -> Vec<HeaderValue> {
    last(known)
}
