//! From a request to a place on a recording, or to the answer of its own.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderMap, Method, Response};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::events::Reading;
use super::key::Key;
use super::reader::Reader;
use super::table::{Found, Now, Recording, Turn};
use super::task::Task;
use super::{Opened, Recorder, Settings, Sought, Viewer, Visit};
use crate::base::metrics::Counted;
use crate::base::random;
use crate::base::sync::lock;
use crate::domain::{ChannelName, Position};
use crate::history::Log;
use crate::hub::{Era, Session};
use crate::limits::{Presence, Present};
use crate::upstream::{AnswerBody, Head, Rebuilt, Upstream};
use crate::wire::last_event_id::{IN_QUERY, LAST_EVENT_ID, LastEventId};
use crate::wire::{headers, sse};

/// A request that is to be sent, for its answer may begin a recording, or be the permission to join one.
#[derive(Debug)]
pub struct Candidate {
    /// `None` if its answer is not to be recorded.
    key: Option<Key>,
    era: Era,
    session: Option<Session>,
    head: Head,
    since: Option<String>,
    /// Those who come meanwhile wait for it.
    turn: Option<Box<Turn>>,
}

impl Candidate {
    /// What Django is asked.
    pub fn request(&self) -> Rebuilt {
        self.head.clone().into()
    }

    /// To be called once there is an answer: those who wait need not wait for a recording that does not come. Without it,
    /// because Django could not be asked or the client has left, one of them asks in his stead.
    pub fn answered(&self) {
        if let Some(turn) = &self.turn {
            turn.answered();
        }
    }
}

impl Recorder {
    /// Joins the recording that `visit` asks for, if one is there that needs no permission. A POST never does: what it does is
    /// to be done. A GET may ask for the rest of what a POST was answered.
    pub async fn seek(&self, settings: &Settings, visit: Visit<'_>) -> Sought {
        // Before anything is asked: whose session ends from now on does not hear a thing.
        let era = self.0.hub.era();
        let Visit {
            upstream,
            path,
            head,
            last,
            session_cookie,
            session,
        } = visit;
        let asked = upstream.settings();
        let place = (asked.name.as_str(), path);
        if head.method == Method::POST {
            let key = Key::of_post(&head, place, session_cookie);
            return candidate((key, era, session), head, last, None);
        }
        let key = Key::of(&head, place, settings.per, session_cookie);
        if let Some(last) = &last
            && let Some(posted) = Key::of_post(&head, place, session_cookie)
            && !headers::accepts_a_page(&head.headers)
            && let Some((recording, present)) = self.find_posted((&posted, &key), era, last)
        {
            let cors = recording.cors.clone();
            return Sought::Viewer(self.join(&recording, era, cors, present));
        }
        let mut turn = None;
        if key.is_one_person() {
            match self.find(&key, era, asked.response_timeout).await {
                Some(Found::Running(recording, present)) => {
                    let cors = recording.cors.clone();
                    return Sought::Viewer(self.join(&recording, era, cors, present));
                }
                Some(Found::Free(own)) => turn = Some(own),
                // Asks for itself; whose answer comes first begins.
                Some(Found::Beginning(_)) => {}
                None => return Sought::Late,
            }
        }
        let session = session.filter(|_| key.is_one_person());
        candidate((Some(key), era, session), head, last, turn)
    }

    fn find_posted(
        &self,
        keys: (&Key, &Key),
        era: Era,
        last: &LastEventId,
    ) -> Option<(Arc<Recording>, Present)> {
        let (hub, log) = (&self.0.hub, self.0.hub.log());
        let is_his = |there: &Recording| there.has(log, last);
        self.0.recordings.find_posted(keys, hub, era, is_his)
    }

    /// Looks the recording up; waits for one that is about to begin, but not for a second one after the answer of the
    /// first was none that could be joined. `None` if there was no answer within `patience`: to ask as well would hold a
    /// worker for each who waits, and those that all other pages need.
    pub(super) async fn find(&self, key: &Key, era: Era, patience: Duration) -> Option<Found> {
        let find = || self.0.recordings.find(key, &self.0.hub, era);
        let until = Instant::now() + patience;
        let mut found = find();
        while let Found::Beginning(known) = &mut found {
            timeout_at(until, turn_is_over(known)).await.ok()?;
            let is_answered = *known.borrow();
            found = find();
            if is_answered {
                break;
            }
        }
        Some(found)
    }

    fn join(
        &self,
        recording: &Recording,
        era: Era,
        headers: HeaderMap,
        present: Present,
    ) -> Box<Viewer> {
        self.0.metrics.joined.inc();
        Box::new(Viewer {
            is_first: false,
            ..viewer(recording, era, headers, present)
        })
    }

    /// Begins a recording with the answer to a candidate, which [can be recorded](super::can_be_recorded), unless another
    /// request was faster: then the answer was a permission to join.
    pub fn begin(
        &self,
        settings: &Settings,
        upstream: &Upstream,
        candidate: Candidate,
        answer: Response<AnswerBody>,
    ) -> Opened {
        let Candidate {
            key,
            era,
            session,
            head,
            since,
            // Dropped at the end: those who waited find the recording.
            turn: _turn,
        } = candidate;
        let Some(key) = key else {
            return Opened::Answer(Box::new(answer));
        };
        let own = if key.is_of_post() {
            senders_headers(answer.headers())
        } else {
            own_headers(answer.headers())
        };
        let (hub, log) = (&self.0.hub, self.0.hub.log());
        let reading = Reading::new(
            ChannelName::of_recording(random::unguessable()),
            self.0.longest.load(Ordering::Relaxed),
        );
        let mut slot = None;
        let make = || {
            slot = Some(self.0.slots.take()?);
            Some(Recording {
                channel: reading.channel().clone(),
                is_of_post: key.is_of_post(),
                start: start(log, &reading)?,
                since,
                session,
                cors: headers::cors(answer.headers()),
                presence: Presence::default(),
                displaced: CancellationToken::new(),
                state: Mutex::new(Now { era, end: None }),
            })
        };
        let recordings = &self.0.recordings;
        let added = if key.is_of_post() {
            recordings.add_posted(&key, make)
        } else {
            recordings.add(&key, hub, era, make)
        };
        let Some((recording, present)) = added else {
            self.0.metrics.unrecorded.inc();
            return Opened::Answer(Box::new(answer));
        };
        let Some(slot) = slot else {
            return Opened::Viewer(self.join(&recording, era, own, present));
        };
        let viewer = viewer(&recording, era, own, present);
        let task = Task {
            key,
            reader: Reader::new(hub.clone(), upstream.clone(), head, reading),
            recording,
            linger: settings.linger,
            recordings: self.0.recordings.clone(),
            log: log.clone(),
            ended: self.0.metrics.ended.clone(),
            _slot: slot,
            _open: Counted::new(&self.0.metrics.open),
        };
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(task.run(answer.into_body(), stop));
        Opened::Viewer(Box::new(viewer))
    }
}

fn candidate(
    (key, era, session): (Option<Key>, Era, Option<Session>),
    mut head: Head,
    last: Option<LastEventId>,
    turn: Option<Box<Turn>>,
) -> Sought {
    if key.is_some() {
        prepare(&mut head, last.as_ref());
    }
    Sought::Candidate(Box::new(Candidate {
        key,
        era,
        session,
        head,
        since: match last {
            Some(LastEventId::Foreign(id)) => Some(id),
            Some(LastEventId::Own(_) | LastEventId::Unusable) | None => None,
        },
        turn,
    }))
}

/// Begins the channel of a recording with a mark of its own, so that no place from before is taken for its start.
fn start(log: &Log, reading: &Reading) -> Option<Position> {
    log.keep_whole(reading.channel());
    let marked = log.append(&[reading.mark()], sse::event);
    marked.ok()?.first().map(|id| id.position)
}

/// Waits until the first request has its answer, or will have none.
async fn turn_is_over(known: &mut watch::Receiver<bool>) {
    while known.changed().await.is_ok() {}
}

/// Makes of a request without a body, or of a POST, what Django is asked for a recording; whether there would be one, if the
/// answer is a stream.
pub fn would_record(
    head: &mut Head,
    path: &str,
    last: Option<&LastEventId>,
    session_cookie: Option<&str>,
) -> bool {
    let would = match head.method {
        Method::GET => true,
        Method::POST => Key::of_post(head, ("", path), session_cookie).is_some(),
        _ => false,
    };
    if would {
        prepare(head, last);
    }
    would
}

/// What Django is asked: the client's own request, as far as its answer can be recorded.
fn prepare(head: &mut Head, last: Option<&LastEventId>) {
    // A compressed stream could not be read.
    head.headers.remove(ACCEPT_ENCODING);
    // An id that the gateway made says nothing to a view that does not know of it.
    if matches!(last, Some(LastEventId::Own(_))) {
        head.headers.remove(LAST_EVENT_ID);
        head.drop_parameters(&IN_QUERY);
    }
}

/// What of a viewer's own answer is his, beside the head of every stream.
fn own_headers(answer: &HeaderMap) -> HeaderMap {
    let mut own = headers::cors(answer);
    let cookies = answer.get_all(SET_COOKIE).iter();
    own.extend(cookies.map(|value| (SET_COOKIE, value.clone())));
    own
}

/// The same of the answer to a POST, which is its sender's as a whole: what its page reads out of the head is there. How it
/// was framed is over.
fn senders_headers(answer: &HeaderMap) -> HeaderMap {
    let mut own = answer.clone();
    headers::strip_response(&mut own);
    own.remove(CONTENT_LENGTH);
    own
}

fn viewer(recording: &Recording, era: Era, headers: HeaderMap, present: Present) -> Viewer {
    Viewer {
        channel: recording.channel.clone(),
        start: recording.start,
        since: recording.since.clone(),
        end: lock(&recording.state).end,
        is_first: true,
        era,
        headers,
        is_of_post: recording.is_of_post,
        present,
    }
}
