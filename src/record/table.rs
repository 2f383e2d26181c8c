//! The recordings that can be joined, by what they are recordings of.
//!
//! Those of GETs are shared, one for each key. Those of POSTs are not: they are listed, and found by who says where he was.
//! Bound: as many as there are slots for recordings, and one entry for each first request on its way; of one person's POSTs
//! [`MOST_POSTED`].

use std::collections::HashMap;
use std::slice;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::key::Key;
use crate::base::sync::lock;
use crate::domain::{ChannelName, Position, PublisherId};
use crate::history::{self, Log};
use crate::hub::{Era, Hub, Identity, Session};
use crate::limits::{Presence, Present};
use crate::wire::last_event_id::LastEventId;

/// The most recordings of one person's POSTs to one path: each may hold a worker without anybody who listens.
pub(super) const MOST_POSTED: usize = 8;

/// A recording, as its viewers share it with the task that makes it.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) channel: ChannelName,
    /// Whether it is what a POST was answered.
    pub(super) is_of_post: bool,
    /// The place before its first event.
    pub(super) start: Position,
    /// The id of the view after which it begins.
    pub(super) since: Option<String>,
    /// The session of its one person; `None` if there is none, or everybody shares it.
    pub(super) session: Option<Session>,
    /// The CORS headers of the answer, for those of the same origin.
    pub(super) cors: HeaderMap,
    pub(super) presence: Presence,
    /// Cancelled when it made room for another: nobody finds it any more, so there is nothing to linger for.
    pub(super) displaced: CancellationToken,
    pub(super) state: Mutex<Now>,
}

/// What changes of a recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// When its session was known to last, counted in kicks.
    pub(super) era: Era,
    /// The place after its end.
    pub(super) end: Option<Position>,
}

impl Recording {
    /// Whether `last` is the place of one of its events, or its beginning or end.
    pub(super) fn has(&self, log: &Log, last: &LastEventId) -> bool {
        match last {
            LastEventId::Own(id) => log.place(*id).is_some_and(|place| {
                place == self.start
                    || lock(&self.state).end == Some(place)
                    || log.holds(&self.channel, place)
            }),
            LastEventId::Foreign(id) => PublisherId::parse(id).is_ok_and(|id| {
                log.find(slice::from_ref(&self.channel), &id) != history::Found::Nowhere
            }),
            LastEventId::Unusable => false,
        }
    }

    /// Whether it may be joined by the person it is of, who came in `era`: not by a session that has ended since.
    fn is_open(&self, hub: &Hub, era: Era) -> bool {
        let Some(session) = self.session else {
            return true;
        };
        let identity = Identity {
            user: None,
            channels: &[],
        };
        let known = lock(&self.state).era;
        if hub.was_kicked_since(known, Some(session), identity) {
            return false;
        }
        let mut state = lock(&self.state);
        state.era = state.era.max(era);
        true
    }
}

#[derive(Debug)]
enum Entry {
    /// Somebody waits for the head of its answer; the sender goes when he knows, or has left before, which its value tells.
    Beginning(watch::Receiver<bool>),
    Running(Arc<Recording>),
}

#[derive(Debug, Default)]
struct Table {
    shared: HashMap<Key, Entry>,
    /// In the order of their beginnings; never empty.
    posted: HashMap<Key, Vec<Arc<Recording>>>,
}

impl Table {
    /// From now on nobody finds `recording`.
    fn remove(&mut self, key: &Key, recording: &Arc<Recording>) {
        if let Some(all) = self.posted.get_mut(key) {
            all.retain(|there| !Arc::ptr_eq(there, recording));
            if all.is_empty() {
                self.posted.remove(key);
            }
        } else if matches!(self.shared.get(key), Some(Entry::Running(there)) if Arc::ptr_eq(there, recording))
        {
            self.shared.remove(key);
        }
    }
}

/// What the table says to somebody who comes.
#[derive(Debug)]
pub(super) enum Found {
    /// A recording, which goes on while the guard lives.
    Running(Arc<Recording>, Present),
    /// Somebody else is about to begin it; see [`Turn`].
    Beginning(watch::Receiver<bool>),
    /// Nobody does: it is the caller's to begin.
    Free(Box<Turn>),
}

/// The table. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Recordings(Arc<Mutex<Table>>);

/// Being the one who begins a recording, a guard: those who come meanwhile wait for it, and know by a value whether there
/// was an answer. Without one it is the turn of one of them.
#[derive(Debug)]
pub(super) struct Turn {
    recordings: Recordings,
    key: Key,
    known: watch::Sender<bool>,
}

impl Recordings {
    /// Joins the recording of `key`, or takes the turn to begin it.
    pub(super) fn find(&self, key: &Key, hub: &Hub, era: Era) -> Found {
        let table = &mut lock(&self.0).shared;
        match table.get(key) {
            // The guard comes before the table is let go, or the recording could end in between.
            Some(Entry::Running(there)) if there.is_open(hub, era) => {
                Found::Running(Arc::clone(there), there.presence.enter())
            }
            Some(Entry::Beginning(known)) => Found::Beginning(known.clone()),
            Some(Entry::Running(_)) | None => {
                let known = watch::Sender::new(false);
                table.insert(key.clone(), Entry::Beginning(known.subscribe()));
                Found::Free(Box::new(Turn {
                    recordings: self.clone(),
                    key: key.clone(),
                    known,
                }))
            }
        }
    }

    /// Joins the recording that was faster and is still open, or makes it; `None` if there is neither.
    pub(super) fn add(
        &self,
        key: &Key,
        hub: &Hub,
        era: Era,
        make: impl FnOnce() -> Option<Recording>,
    ) -> Option<(Arc<Recording>, Present)> {
        let table = &mut lock(&self.0).shared;
        if let Some(Entry::Running(there)) = table.get(key)
            && there.is_open(hub, era)
        {
            return Some((Arc::clone(there), there.presence.enter()));
        }
        let recording = Arc::new(make()?);
        table.insert(key.clone(), Entry::Running(Arc::clone(&recording)));
        let present = recording.presence.enter();
        Some((recording, present))
    }

    /// Lists the recording of a POST; if that person has too many, in place of the oldest whose view has ended.
    pub(super) fn add_posted(
        &self,
        key: &Key,
        make: impl FnOnce() -> Option<Recording>,
    ) -> Option<(Arc<Recording>, Present)> {
        let posted = &mut lock(&self.0).posted;
        if let Some(all) = posted.get_mut(key)
            && all.len() >= MOST_POSTED
        {
            let over = |there: &Arc<Recording>| lock(&there.state).end.is_some();
            all.remove(all.iter().position(over)?).displaced.cancel();
        }
        let recording = Arc::new(make()?);
        let all = posted.entry(key.clone()).or_default();
        all.push(Arc::clone(&recording));
        let present = recording.presence.enter();
        Some((recording, present))
    }

    /// Joins the one recording of that person's POSTs on which `is_his` place is; `None` if it is on none, or on several, that
    /// of the GETs of `shared` among them.
    pub(super) fn find_posted(
        &self,
        (key, shared): (&Key, &Key),
        hub: &Hub,
        era: Era,
        is_his: impl Fn(&Recording) -> bool,
    ) -> Option<(Arc<Recording>, Present)> {
        let table = lock(&self.0);
        let mut his = table.posted.get(key)?.iter().filter(|there| is_his(there));
        let (there, None) = (his.next()?, his.next()) else {
            return None;
        };
        if matches!(table.shared.get(shared), Some(Entry::Running(other)) if is_his(other)) {
            return None;
        }
        // The guard comes before the table is let go, as above.
        let joins = there.is_open(hub, era);
        joins.then(|| (Arc::clone(there), there.presence.enter()))
    }

    /// From now on nobody joins `recording`.
    pub(super) fn remove(&self, key: &Key, recording: &Arc<Recording>) {
        lock(&self.0).remove(key, recording);
    }

    /// The same, unless somebody is there; whether nobody was.
    pub(super) fn remove_if_left(&self, key: &Key, recording: &Arc<Recording>) -> bool {
        let mut table = lock(&self.0);
        let left = recording.presence.count() == 0;
        if left {
            table.remove(key, recording);
        }
        left
    }
}

impl Turn {
    /// Tells those who wait that there is an answer.
    pub(super) fn answered(&self) {
        self.known.send_replace(true);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let table = &mut lock(&self.recordings.0).shared;
        let own = |entry: &Entry| match entry {
            Entry::Beginning(known) => known.same_channel(&self.known.subscribe()),
            Entry::Running(_) => false,
        };
        if table.get(&self.key).is_some_and(own) {
            table.remove(&self.key);
        }
    }
}
