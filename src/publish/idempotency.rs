//! What was answered to whom, so that a request which comes twice publishes once.
//!
//! A request is known by its key, and two requests are the same if method, path, query and body are. Only what was
//! published is remembered: a refused request may come again, mended. While the first is being worked on a second is
//! refused, so the two can never both publish.
//!
//! Bounded by memory: the oldest answers go first, and are counted. An answer to a signed request may not go while its
//! signature is still good, for then the same bytes would publish again; if there is no room beside those, the request
//! is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::request::Parts;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

use crate::base::sync::lock;

/// Memory of all answers, estimated. About 200,000 of them.
pub(super) const MEMORY: usize = 64 << 20;
/// The same of the answers to signed requests, which have room of their own: they cannot be given up at will, so one
/// sender who says much would leave none to those who show a token.
pub(super) const SIGNED_MEMORY: usize = 16 << 20;
/// What an answer costs beside its text: two table entries and what the allocator adds.
const OVERHEAD: usize = 256;
/// What an answer may take that is not there yet: the longest one is that of a batch whose last id is all escapes.
const RESERVED: usize = 8 << 10;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// What names a request: a key, within the token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(Digest);

impl Key {
    /// `header` is where the key stood: the same text in another header is another key. `token`: who showed a token has
    /// keys of his own. What is signed names none: by which of the secrets it is known changes while one is replaced.
    pub(super) fn new(header: &str, token: Option<&str>, key: &str) -> Self {
        let whose = if token.is_some() { "token" } else { "" };
        let parts = [header, whose, token.unwrap_or_default(), key];
        Self(hash(parts.iter().map(|part| part.as_bytes())))
    }
}

/// What a request is, so that another one under the same key is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print(Digest);

impl Print {
    pub(super) fn new(parts: &Parts, body: &[u8]) -> Self {
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let has_query = if query.is_some() { "?" } else { "" };
        let head = [
            parts.method.as_str(),
            path,
            has_query,
            query.unwrap_or_default(),
        ];
        Self(hash(head.iter().map(|part| part.as_bytes()).chain([body])))
    }
}

/// The parts with their lengths, so that no two lists of parts are the same bytes.
fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Why a request with a key is not done, nor answered as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("was used for another request")]
    Conflict,
    #[error("belongs to a request that is being worked on")]
    InProgress,
    #[error("cannot be remembered: there are too many signed requests")]
    Full,
}

/// What to do with a request that has a key.
#[derive(Debug)]
pub(super) enum Begun<'a> {
    /// It is new.
    First(Ticket<'a>),
    /// It was done, and this was the answer.
    Again(Bytes),
}

/// The answers that are remembered.
#[derive(Debug)]
pub(super) struct Answers {
    table: Mutex<Table>,
    memory: usize,
    forgotten: Counter,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Key, Known>,
    /// The answers by when they may be given up for want of memory; the number tells those of one moment apart.
    order: BTreeMap<Place, Key>,
    bytes: usize,
    next: u64,
    keep_for: Duration,
}

type Place = (Instant, u64);

#[derive(Debug)]
struct Known {
    print: Print,
    /// `None` while it is being worked on.
    answer: Option<(Bytes, Place)>,
}

/// The right to do a request, a guard: unless it is finished, the request was never there.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    answers: &'a Answers,
    key: Key,
    /// Until when the answer must not be given up.
    until: Instant,
    finished: bool,
}

impl Answers {
    /// Remembers answers for `keep_for` within so much memory.
    pub(super) fn new(keep_for: Duration, memory: usize, forgotten: Counter) -> Self {
        Self {
            table: Mutex::new(Table {
                keep_for,
                ..Table::default()
            }),
            memory,
            forgotten,
        }
    }

    /// Remembers all answers for so long, also those that are there.
    pub(super) fn keep_for(&self, keep_for: Duration) {
        lock(&self.table).keep_for = keep_for;
    }

    /// Finds out whether the request was done before. `held_until`: until when its answer must be remembered, whatever
    /// else there is; from then on it is for `keep_for` more, if there is room.
    pub(super) fn begin(
        &self,
        key: Key,
        print: Print,
        held_until: Option<Instant>,
    ) -> Result<Begun<'_>, Refused> {
        let now = Instant::now();
        let until = held_until.unwrap_or(now).max(now);
        let mut table = lock(&self.table);
        table.expire(now);
        if let Some(known) = table.known.get(&key) {
            if known.print != print {
                return Err(Refused::Conflict);
            }
            let (answer, place) = known.answer.clone().ok_or(Refused::InProgress)?;
            // The same request was signed again, later.
            if held_until.is_some() && place.0 < until {
                table.order.remove(&place);
                table.place(key, until);
            }
            return Ok(Begun::Again(answer));
        }
        let needed = OVERHEAD + RESERVED;
        while table.bytes + needed > self.memory {
            if !table.forget_oldest(now) {
                return Err(Refused::Full);
            }
            self.forgotten.inc();
        }
        table.bytes += needed;
        let answer = None;
        table.known.insert(key, Known { print, answer });
        drop(table);
        Ok(Begun::First(Ticket {
            answers: self,
            key,
            until,
            finished: false,
        }))
    }
}

impl Table {
    /// Drops what need not be remembered any more.
    fn expire(&mut self, now: Instant) {
        let keep_for = self.keep_for;
        while let Some((place, key)) = self.order.first_key_value().map(|(p, k)| (*p, *k))
            && place.0 + keep_for <= now
        {
            self.order.remove(&place);
            self.drop_known(&key);
        }
    }

    /// Gives up the answer that may be given up first; `false` if none may be.
    fn forget_oldest(&mut self, now: Instant) -> bool {
        let oldest = self.order.first_key_value().map(|(p, k)| (*p, *k));
        let Some((place, key)) = oldest.filter(|(place, _)| place.0 <= now) else {
            return false;
        };
        self.order.remove(&place);
        self.drop_known(&key);
        true
    }

    fn drop_known(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            let text = known.answer.map_or(RESERVED, |(answer, _)| answer.len());
            self.bytes = self.bytes.saturating_sub(OVERHEAD + text);
        }
    }

    /// Puts an answer that is known in its place in the order.
    fn place(&mut self, key: Key, until: Instant) {
        let place = (until, self.next);
        self.next += 1;
        if let Some(Known {
            answer: Some((_, known)),
            ..
        }) = self.known.get_mut(&key)
        {
            *known = place;
            self.order.insert(place, key);
        }
    }
}

impl Ticket<'_> {
    /// The request was done, and this is the answer.
    pub(super) fn finish(mut self, answer: Bytes) {
        self.finished = true;
        let mut table = lock(&self.answers.table);
        table.bytes = (table.bytes + answer.len()).saturating_sub(RESERVED);
        if let Some(known) = table.known.get_mut(&self.key) {
            known.answer = Some((answer, (self.until, 0)));
        }
        table.place(self.key, self.until);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.finished {
            lock(&self.answers.table).drop_known(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(300);

    fn answers(memory: usize) -> Answers {
        Answers::new(KEEP, memory, Counter::default())
    }

    fn key(text: &str) -> Key {
        Key::new("idempotency-key", Some("django"), text)
    }

    fn print(body: &str) -> Print {
        let (parts, ()) = http::Request::post("/v1/events")
            .body(())
            .unwrap()
            .into_parts();
        Print::new(&parts, body.as_bytes())
    }

    /// Does the request, unless it was done.
    fn done(answers: &Answers, text: &str, until: Option<Instant>) -> Result<bool, Refused> {
        match answers.begin(key(text), print(text), until)? {
            Begun::First(ticket) => {
                ticket.finish(Bytes::from("{}"));
                Ok(true)
            }
            Begun::Again(answer) => {
                assert_eq!(answer, "{}");
                Ok(false)
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_repeated_for_a_while() {
        let answers = answers(MEMORY);
        assert_eq!(done(&answers, "a", None), Ok(true));
        tokio::time::advance(KEEP / 2).await;
        assert_eq!(done(&answers, "a", None), Ok(false));
        tokio::time::advance(KEEP / 2).await;
        assert_eq!(
            done(&answers, "a", None),
            Ok(true),
            "a repeat keeps it no longer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_belongs_to_one_request_one_token_and_one_header() {
        let answers = answers(MEMORY);
        assert_eq!(done(&answers, "a", None), Ok(true));
        let other = answers.begin(key("a"), print("b"), None);
        assert_eq!(other.err(), Some(Refused::Conflict));
        for name in [
            Key::new("idempotency-key", Some("billing"), "a"),
            Key::new("idempotency-key", None, "a"),
            Key::new("idempotency-key", Some(""), "a"),
            Key::new("webhook-id", Some("django"), "a"),
        ] {
            assert!(matches!(
                answers.begin(name, print("a"), None),
                Ok(Begun::First(_))
            ));
        }
        let print = |uri: &str, body: &str| {
            let (parts, ()) = http::Request::post(uri).body(()).unwrap().into_parts();
            Print::new(&parts, body.as_bytes())
        };
        let prints = [
            print("/a", ""),
            print("/a?", ""),
            print("/a?b", ""),
            print("/a", "b"),
            print("/ab", ""),
        ];
        for (n, one) in prints.iter().enumerate() {
            assert!(prints.iter().skip(n + 1).all(|other| other != one));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_the_first_is_worked_on_is_refused() {
        let answers = answers(MEMORY);
        let first = answers.begin(key("a"), print("a"), None).unwrap();
        assert_eq!(done(&answers, "a", None), Err(Refused::InProgress));
        drop(first);
        assert_eq!(
            done(&answers, "a", None),
            Ok(true),
            "what was not done is not remembered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answers_go_first_and_all_is_given_back() {
        let answers = answers(2 * OVERHEAD + RESERVED + 4);
        for text in ["a", "b"] {
            assert_eq!(done(&answers, text, None), Ok(true));
        }
        assert_eq!(
            (done(&answers, "a", None), answers.forgotten.get()),
            (Ok(false), 0)
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(
            (done(&answers, "c", None), answers.forgotten.get()),
            (Ok(true), 1)
        );
        assert_eq!(done(&answers, "b", None), Ok(false));
        assert_eq!(
            (done(&answers, "a", None), answers.forgotten.get()),
            (Ok(true), 2)
        );
        tokio::time::advance(KEEP).await;
        let ticket = answers.begin(key("d"), print("d"), None).unwrap();
        drop(ticket);
        let table = lock(&answers.table);
        assert_eq!(
            (table.bytes, table.known.len(), table.order.len()),
            (0, 0, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_signed_answer_is_not_given_up_while_its_signature_is_good() {
        let answers = answers(2 * OVERHEAD + RESERVED + 4);
        let good = Some(Instant::now() + Duration::from_secs(600));
        assert_eq!(done(&answers, "a", good), Ok(true));
        assert_eq!(done(&answers, "b", good), Ok(true));
        assert_eq!(done(&answers, "c", None), Err(Refused::Full));
        assert_eq!(done(&answers, "d", good), Err(Refused::Full));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert_eq!(done(&answers, "a", good), Ok(false), "beyond keep_for");
        // Signed once more, and so good for longer.
        let longer = Some(Instant::now() + Duration::from_secs(300));
        assert_eq!(done(&answers, "a", longer), Ok(false));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(
            (done(&answers, "c", None), answers.forgotten.get()),
            (Ok(true), 1)
        );
        assert_eq!(
            done(&answers, "a", longer),
            Ok(false),
            "it was the other that went"
        );
    }
}
