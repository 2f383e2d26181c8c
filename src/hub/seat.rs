//! One stream's place in the hub: what wakes it, what ends it, what is told of it, and the guards that take it out again.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::SystemTime;

use super::kicks::{Era, Session};
use super::listeners::ALONE;
use super::presence::Now;
use super::{Hub, Table};
use crate::base::bell::{Bell, Inbox};
use crate::base::keys::Keys;
use crate::base::metrics::Counted;
use crate::base::sync::lock;
use crate::domain::{ChannelName, Position, StreamId, UserId};

/// Why a stream is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The gateway is going away.
    Drain,
    /// Somebody ended it.
    Kick,
    /// The session it was opened with has ended.
    Logout,
}

/// What is known of a stream from its beginning.
#[derive(Debug)]
pub struct About {
    /// The route that opened it.
    pub route: Arc<str>,
    /// The client's address.
    pub client: IpAddr,
    /// When it began.
    pub since: SystemTime,
    /// The session of Django that came with the request, if it decides who may listen.
    pub session: Option<Session>,
}

/// Who listens to what.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// As Django, or the token, named it.
    pub user: Option<&'a UserId>,
    /// All channels, the user's own included; none twice.
    pub channels: &'a [ChannelName],
}

/// What the hub keeps of a stream.
#[derive(Debug)]
pub(super) struct Listener {
    id: StreamId,
    bell: Bell,
    /// 0 while it may go on.
    ending: AtomicU8,
    /// `None` for a tap.
    pub(super) about: Option<About>,
    pub(super) joined: Mutex<Joined>,
    /// The place it has read up to.
    position: AtomicU64,
    /// The events it was given.
    sent: AtomicU64,
}

/// What a stream is on now.
#[derive(Debug, Default, Clone)]
pub(super) struct Joined {
    pub(super) user: Option<UserId>,
    pub(super) channels: Arc<[ChannelName]>,
}

/// A stream in a set of streams, found by its id.
#[derive(Debug)]
pub(super) struct ById(pub(super) Arc<Listener>);

impl Borrow<StreamId> for ById {
    fn borrow(&self) -> &StreamId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

/// No ending, and a drain is none either.
const OUTLASTING: u8 = 4;

impl Listener {
    pub(super) fn new(id: StreamId, about: Option<About>) -> Self {
        Self {
            id,
            bell: Bell::default(),
            ending: AtomicU8::new(0),
            about,
            joined: Mutex::default(),
            position: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    pub(super) const fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn session(&self) -> Option<Session> {
        self.about.as_ref()?.session
    }

    /// The place it has read up to, and how many events it was given.
    pub(super) fn progress(&self) -> (Position, u64) {
        let position = Position::after(self.position.load(Ordering::Relaxed));
        (position, self.sent.load(Ordering::Relaxed))
    }

    pub(super) const fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn end(&self, ending: Ending) {
        let code = match ending {
            Ending::Drain => 1,
            Ending::Kick => 2,
            Ending::Logout => 3,
        };
        // The first reason stays.
        let exchange = |from| {
            let order = (Ordering::Release, Ordering::Relaxed);
            self.ending.compare_exchange(from, code, order.0, order.1)
        };
        let first = exchange(0);
        if first.is_ok() || ending != Ending::Drain && exchange(OUTLASTING).is_ok() {
            self.bell.insist();
        }
    }

    fn outlast_drain(&self) {
        for from in [0, 1] {
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            let _was_kicked = self
                .ending
                .compare_exchange(from, OUTLASTING, order.0, order.1);
        }
    }

    fn ending(&self) -> Option<Ending> {
        match self.ending.load(Ordering::Acquire) {
            0 | OUTLASTING => None,
            1 => Some(Ending::Drain),
            2 => Some(Ending::Kick),
            _ => Some(Ending::Logout),
        }
    }
}

/// An open stream's registration, a guard.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    listener: Arc<Listener>,
    _open: Option<Counted>,
}

impl Seat {
    pub(super) const fn new(hub: Hub, listener: Arc<Listener>, open: Option<Counted>) -> Self {
        Self {
            hub,
            listener,
            _open: open,
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.listener.id
    }

    /// Whether it was rung for since it listened last. From now on the next publish on a channel of this stream, and its
    /// ending, wake `waker`, or the inbox it is attached to. Must come before the read and the look at [`Seat::ending`]
    /// that precede a wait.
    pub fn listen(&self, waker: &Waker) -> bool {
        self.listener.bell.listen(waker)
    }

    /// Has whatever wakes this stream put `key` into `inbox`, from now on.
    pub fn attach(&self, inbox: &Inbox, key: u32) {
        self.listener.bell.attach(inbox, key);
        let mut table = lock(&self.hub.0.table);
        if !table.inboxes.contains(inbox) {
            table.inboxes.retain(|other| !other.is_closed());
            table.inboxes.push(inbox.clone());
        }
    }

    /// A drain does not end this stream, nor has it done so: its client could not come back for the rest.
    pub fn outlast_drain(&self) {
        self.listener.outlast_drain();
    }

    /// Whether the stream is told to end.
    pub fn ending(&self) -> Option<Ending> {
        self.listener.ending()
    }

    /// Puts the stream on its channels until the membership is dropped. `asked` is when its permission was asked for: if
    /// it was kicked since, it is told to end.
    pub fn join(
        &self,
        user: Option<&UserId>,
        channels: &Arc<[ChannelName]>,
        asked: Era,
    ) -> Membership {
        let identity = Identity { user, channels };
        *lock(&self.listener.joined) = Joined {
            user: user.cloned(),
            channels: Arc::clone(channels),
        };
        let mut table = lock(&self.hub.0.table);
        let watched = table.presence.as_mut().map(|presence| {
            presence.join(channels, user, Now::read());
        });
        let session = self.listener.session();
        if table
            .kicks
            .since(asked, self.listener.id, session, &identity)
        {
            self.listener.end(Ending::Kick);
            self.hub.0.metrics.kicked.inc();
        }
        let keys = table.join(channels, &self.listener);
        Membership {
            channels: Arc::clone(channels),
            keys,
            user: watched.and_then(|()| user.cloned()),
            hub: self.hub.clone(),
        }
    }

    /// Notes that everything up to `position` was read, and so many events of it given to the stream.
    pub fn note(&self, position: Position, given: usize) {
        self.listener
            .position
            .store(position.seq(), Ordering::Relaxed);
        self.listener
            .sent
            .fetch_add(given as u64, Ordering::Relaxed);
    }

    /// Has every publish wake this stream, until the seat is dropped.
    pub fn tap(&self) {
        lock(&self.hub.0.table)
            .taps
            .insert(self.listener.id, Arc::clone(&self.listener));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let id = self.listener.id;
        let mut table = lock(&self.hub.0.table);
        table.forget(id);
        table.taps.remove(&id);
        if let Some(session) = self.listener.session() {
            table.leave_session(session, id);
        }
    }
}

impl Table {
    /// Puts a stream on `channels`; its key on each.
    fn join(&mut self, channels: &[ChannelName], listener: &Arc<Listener>) -> Keys {
        let mut join = |name: &ChannelName| {
            let listener = Arc::clone(listener);
            let known = self.channels.key(name);
            if let Some(on) = known.and_then(|key| self.channels.at_mut(key)) {
                return on.insert(listener);
            }
            self.channels.insert(name.clone(), listener.into());
            ALONE
        };
        channels.iter().map(&mut join).collect()
    }

    fn forget(&mut self, id: StreamId) {
        self.streams.remove(&id);
        // What many streams took is given back when they are gone.
        if self.streams.len() < self.streams.capacity() / 8 && self.streams.capacity() > 1024 {
            self.streams.shrink_to(2 * self.streams.len());
        }
    }

    fn leave_session(&mut self, session: Session, id: StreamId) {
        if let Some(streams) = self.sessions.get_mut(&session) {
            streams.remove(&id);
            if streams.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }
}

/// A stream's being on its channels, a guard.
#[derive(Debug)]
pub struct Membership {
    hub: Hub,
    channels: Arc<[ChannelName]>,
    /// On each of them.
    keys: Keys,
    /// As it was when the stream joined; kept only if presence is watched.
    user: Option<UserId>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut table = lock(&self.hub.0.table);
        for (name, key) in self.channels.iter().zip(self.keys.as_slice()) {
            if let Some(channel) = table.channels.key(name)
                && let Some(on) = table.channels.at_mut(channel)
                && on.remove(*key)
            {
                table.channels.remove(channel);
            }
        }
        if let Some(presence) = &mut table.presence {
            presence.leave(self.channels.iter(), self.user.as_ref(), Now::read());
        }
    }
}
