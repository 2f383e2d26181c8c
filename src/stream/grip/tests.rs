//! What an item is to a connection, and when a link is followed.

use std::collections::VecDeque;

use crate::base::metrics::Registry;
use crate::domain::{ChannelName, Epoch, Event, Frame, Keep, Position, PublisherId, StreamId};
use crate::history::{self, Log};
use crate::wire::grip::{Instruct, Stored, read};

use super::catching_up::{CatchingUp, Caught};
use super::tracking::{Judged, Tracking, When};

struct Site {
    log: Log,
    tracking: Tracking,
    catching_up: Option<CatchingUp>,
    is_again: bool,
}

impl Site {
    /// A log with these items of the channel `pre-c`, and a connection that Django was asked for before any.
    fn new(items: &str) -> Self {
        let log = Log::new(
            history::Settings::default(),
            Epoch::from_random(1),
            &Registry::default(),
        );
        let site = Self {
            tracking: Tracking::new(Position::START),
            catching_up: None,
            is_again: false,
            log,
        };
        site.publish(items);
        site
    }

    /// `7 after 6, 8`
    fn publish(&self, items: &str) {
        for text in items.split(',').filter(|text| !text.is_empty()) {
            let (id, prev_id) = match text.trim().split_once(" after ") {
                Some((id, prev_id)) => (id, Some(prev_id)),
                None => (text.trim(), None),
            };
            let item = serde_json::json!({"items": [{
                "channel": "pre-c", "id": id, "prev-id": prev_id, "http-stream": {"content": id},
            }]});
            let item = read(item.to_string().as_bytes()).unwrap().remove(0);
            let event = Event {
                channels: vec![ChannelName::of_foreign("pre-c")],
                name: None,
                data: None,
                id: PublisherId::parse(id).ok(),
                retry: None,
                keep: Keep::All,
                close: false,
                except: None,
            };
            let appended = self
                .log
                .append(&[event], |_, id| item.frame(id.position.seq()));
            appended.unwrap();
        }
    }

    /// Django answers now, asked when the log ended at `asked`; whether it should be asked once more.
    fn instruct(&mut self, prev_id: Option<&str>, asked: Position) -> bool {
        let mut headers = http::HeaderMap::new();
        let prev_id = prev_id.map_or(String::new(), |id| format!("; prev-id={id}"));
        headers.insert("grip-channel", format!("c{prev_id}").parse().unwrap());
        let instruct = Instruct::of_headers(&headers).unwrap();
        let when = When {
            asked,
            answered: self.log.position(),
            has_body: false,
            is_again: std::mem::replace(&mut self.is_again, true),
        };
        let told = self.tracking.instruct(&self.log, "pre-", &instruct, when);
        self.catching_up = told.catching_up;
        told.is_doubtful
    }

    /// What the connection is given of the log, up to a gap.
    fn given(&mut self) -> Vec<String> {
        let stream = StreamId::from_random(1);
        let (mut given, mut frames) = (Vec::new(), VecDeque::new());
        loop {
            frames.clear();
            let caught = match &mut self.catching_up {
                Some(catching_up) => catching_up.read(&self.log, stream, &mut frames),
                None => Caught::All,
            };
            assert_ne!(caught, Caught::Gap);
            if caught == Caught::All {
                break;
            }
            assert!(self.take(&frames, &mut given), "{given:?}");
        }
        let channels = self.tracking.channels();
        let mut cursor = self.log.cursor(channels, self.tracking.done());
        cursor.read(stream, 100, &mut frames);
        if self.take(&frames, &mut given) {
            self.tracking.pass(cursor.position());
        }
        given
    }

    /// Whether there was no gap.
    fn take(&mut self, frames: &VecDeque<Frame>, given: &mut Vec<String>) -> bool {
        for frame in frames {
            let item = Stored::read(frame).unwrap();
            match self.tracking.judge(&item, |id| id.into()) {
                Judged::Nothing => {}
                Judged::Next(_) => given.push(item.id.unwrap().to_owned()),
                Judged::Gap => {
                    given.push("gap".to_owned());
                    return false;
                }
            }
        }
        true
    }
}

#[test]
fn a_channel_without_ids_is_given_all_that_came_since_django_was_asked() {
    let mut site = Site::new("1, 2");
    let asked = site.log.position();
    site.publish("3 after 9");
    assert!(!site.instruct(None, asked));
    assert_eq!(site.given(), ["3"]);
    site.publish("4 after 8");
    assert_eq!(site.given(), ["4"]);
    assert!(!site.tracking.is_reliable() && site.tracking.last().next().is_none());
}

#[test]
fn what_django_had_not_read_yet_is_given_from_the_log() {
    let mut site = Site::new("6, 7 after 6, 8 after 7");
    let asked = site.log.position();
    assert!(!site.instruct(Some("6"), asked));
    site.publish("9 after 8");
    assert_eq!(site.given(), ["7", "8", "9"]);
    assert!(site.tracking.last().eq([("c", "9")]), "as Django calls it");
    assert_eq!(site.tracking.prev_id("c"), Some("9"));
}

#[test]
fn what_django_had_read_already_is_not_given_again() {
    let mut site = Site::new("6, 7 after 6");
    let asked = site.log.position();
    site.publish("8 after 7");
    assert!(
        site.instruct(Some("9"), asked),
        "9 is not published, and 8 is"
    );
    site.publish("9 after 8, 10 after 9");
    assert_eq!(site.given(), ["10"]);
}

#[test]
fn what_does_not_follow_is_a_gap_until_django_says_where_it_is() {
    let mut site = Site::new("6");
    let asked = site.log.position();
    site.instruct(Some("6"), asked);
    site.publish("7 after 6, 9 after 8");
    assert_eq!(site.given(), ["7", "gap"]);
    assert_eq!(site.given(), ["gap"], "it stays where it is");
    // Asked, Django tells of 8, which was lost, and of 9.
    let asked = site.log.position();
    site.publish("10 after 9");
    site.instruct(Some("9"), asked);
    assert_eq!(site.given(), ["10"]);
}

#[test]
fn an_answer_older_than_what_was_given_meanwhile_changes_nothing() {
    let mut site = Site::new("6");
    let asked = site.log.position();
    site.instruct(Some("6"), asked);
    site.publish("7 after 6");
    assert_eq!(site.given(), ["7"]);
    site.instruct(Some("6"), asked);
    site.publish("8 after 7");
    assert_eq!(site.given(), ["8"]);
}

#[test]
fn what_followed_an_answer_with_an_id_that_nobody_published_is_told_apart() {
    let mut site = Site::new("");
    site.instruct(Some("6"), Position::START);
    assert!(
        !site.instruct(Some("6"), Position::START),
        "nothing is known of it"
    );
    site.publish("6 after 5, 7 after 6");
    assert_eq!(site.given(), ["7"]);
    // Two that were in the answer, one that comes after it.
    site.publish("9 after 8, 10 after 9");
    assert_eq!(site.given(), ["gap"]);
    let asked = site.log.position();
    assert!(site.instruct(Some("11"), asked), "10 is known");
    site.publish("12 after 11");
    assert_eq!(site.given(), ["12"]);
}

#[test]
fn pages_go_on_though_the_log_was_looked_at_to_its_end() {
    let mut site = Site::new("");
    // The first page ends with an item that the log has forgotten, and then everything was looked at.
    site.instruct(Some("2"), Position::START);
    site.publish("4 after 3, 5 after 4, 6 after 5");
    site.tracking.pass(site.log.position());
    let asked = site.log.position();
    site.instruct(Some("4"), asked);
    assert!(site.tracking.last().eq([("c", "4")]));
    assert_eq!(site.given(), ["5", "6"]);
    site.instruct(Some("5"), asked);
    assert!(site.tracking.last().eq([("c", "6")]), "an older answer");
}
