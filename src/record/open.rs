//! From a request to a place on a recording, or to the answer of its own.

use std::sync::Mutex;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, SET_COOKIE};
use http::{HeaderMap, Response};
use tokio::sync::watch;
use tokio::time::timeout;

use super::events::Reading;
use super::key::Key;
use super::reader::{Reader, can_be_recorded};
use super::table::{Found, Now, Recording};
use super::task::Task;
use super::{Opened, Recorder, Settings, Viewer, Visit};
use crate::base::metrics::Counted;
use crate::base::random;
use crate::base::sync::lock;
use crate::domain::{ChannelName, Position};
use crate::history::Log;
use crate::hub::{Era, Session};
use crate::limits::{Presence, Present};
use crate::upstream::{AnswerBody, Head, RequestBody, Upstream, UpstreamError};
use crate::wire::last_event_id::{IN_QUERY, LAST_EVENT_ID, LastEventId};
use crate::wire::publish::HEADER;
use crate::wire::{headers, sse};

/// How long a request waits for the one that is about to begin the recording it would join.
const FIRST: Duration = Duration::from_secs(10);

/// A request that Django has answered with a stream.
struct Answered<'a> {
    key: Key,
    era: Era,
    session: Option<Session>,
    head: Head,
    since: Option<String>,
    upstream: &'a Upstream,
    settings: &'a Settings,
}

impl Recorder {
    /// Joins the recording that `visit` asks for, or begins it with Django's answer, if that is a stream.
    pub async fn open(
        &self,
        settings: &Settings,
        upstream: &Upstream,
        visit: Visit<'_>,
    ) -> Result<Opened, UpstreamError> {
        // Before anything is asked: whose session ends from now on does not hear a thing.
        let era = self.0.hub.era();
        let Visit {
            mut head,
            last,
            session_cookie,
            session,
        } = visit;
        let key = Key::of(&head, settings.per, session_cookie);
        let mut turn = None;
        if key.is_one_person() {
            match self.find(&key, era).await {
                Found::Running(recording, present) => {
                    let cors = recording.cors.clone();
                    return Ok(self.join(&recording, era, cors, present));
                }
                Found::Free(own) => turn = Some(own),
                // Asks for itself; whose answer comes first begins.
                Found::Beginning(_) => {}
            }
        }
        prepare(&mut head, last.as_ref());
        let patience = upstream.settings().retry_for;
        let answer = upstream.send(&head, RequestBody::Empty, patience).await?;
        if !can_be_recorded(&answer) {
            return Ok(Opened::Answer(Box::new(answer)));
        }
        let answered = Answered {
            session: session.filter(|_| key.is_one_person()),
            key,
            era,
            head,
            since: match last {
                Some(LastEventId::Foreign(id)) => Some(id),
                Some(LastEventId::Own(_) | LastEventId::Unusable) | None => None,
            },
            upstream,
            settings,
        };
        let opened = self.begin(answered, answer);
        // Those who waited find the recording.
        drop(turn);
        Ok(opened)
    }

    /// Looks the recording up; waits for one that is about to begin, but not twice.
    pub(super) async fn find(&self, key: &Key, era: Era) -> Found {
        let find = || self.0.recordings.find(key, &self.0.hub, era);
        match find() {
            Found::Beginning(mut known) => {
                drop(timeout(FIRST, turn_is_over(&mut known)).await);
                find()
            }
            found => found,
        }
    }

    fn join(
        &self,
        recording: &Recording,
        era: Era,
        headers: HeaderMap,
        present: Present,
    ) -> Opened {
        self.0.metrics.joined.inc();
        Opened::Viewer(Box::new(Viewer {
            is_first: false,
            ..viewer(recording, era, headers, present)
        }))
    }

    /// Begins a recording with this answer, unless another request was faster: then the answer was a permission to join.
    fn begin(&self, answered: Answered<'_>, answer: Response<AnswerBody>) -> Opened {
        let Answered {
            key,
            era,
            session,
            head,
            since,
            upstream,
            settings,
        } = answered;
        let own = own_headers(answer.headers());
        let (hub, log) = (&self.0.hub, self.0.hub.log());
        let reading = Reading::new(
            ChannelName::of_recording(random::unguessable()),
            self.0.longest,
        );
        let mut slot = None;
        let added = self.0.recordings.add(&key, hub, era, || {
            slot = Some(self.0.slots.take()?);
            Some(Recording {
                channel: reading.channel().clone(),
                start: start(log, &reading)?,
                since,
                session,
                cors: headers::cors(answer.headers()),
                presence: Presence::default(),
                state: Mutex::new(Now { era, end: None }),
            })
        });
        let Some((recording, present)) = added else {
            self.0.metrics.unrecorded.inc();
            return Opened::Answer(Box::new(answer));
        };
        let Some(slot) = slot else {
            return self.join(&recording, era, own, present);
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

/// Begins the channel of a recording with a mark of its own, so that no place from before is taken for its start.
fn start(log: &Log, reading: &Reading) -> Option<Position> {
    log.keep_whole(reading.channel());
    let marked = log.append(&[reading.mark()], sse::event);
    marked.ok()?.first().map(|id| id.position)
}

/// Waits until the first request has its answer, or none.
async fn turn_is_over(known: &mut watch::Receiver<()>) {
    while known.changed().await.is_ok() {}
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

/// What of a viewer's own answer is his, beside the head of every stream; and what the view publishes by it.
fn own_headers(answer: &HeaderMap) -> HeaderMap {
    let mut own = headers::cors(answer);
    for name in [SET_COOKIE, HEADER] {
        let values = answer.get_all(&name).iter();
        own.extend(values.map(|value| (name.clone(), value.clone())));
    }
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
        present,
    }
}
