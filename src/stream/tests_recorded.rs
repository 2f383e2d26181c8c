//! Viewers of a recording, polled by hand.

use super::tests::{CLIENT, event, said};
use super::*;
use crate::domain::{Epoch, Event, Position};
use crate::history::{self, Log};
use crate::hub::Whom;
use crate::limits::Presence;

struct Site {
    streams: Streams,
    hub: Hub,
    channel: ChannelName,
    start: Position,
    presence: Presence,
}

impl Site {
    /// A recording of which two events are there.
    fn new() -> Self {
        let registry = Registry::default();
        let log = Log::new(
            history::Settings::default(),
            Epoch::from_random(1),
            &registry,
        );
        let hub = Hub::new(log.clone(), &registry);
        let site = Self {
            streams: Streams::new(hub.clone(), Slots::new(4), &registry),
            channel: ChannelName::of_recording(7),
            start: log.position(),
            hub,
            presence: Presence::default(),
        };
        log.keep_whole(&site.channel);
        for data in ["one", "two"] {
            site.publish(event(data));
        }
        site
    }

    fn publish(&self, event: Event) -> Position {
        let channels = vec![self.channel.clone()];
        let id = self.streams.publish(Event { channels, ..event });
        crate::domain::EventId::parse(&id).unwrap().position
    }

    fn recorded(&self) -> Recorded {
        Recorded {
            channel: self.channel.clone(),
            start: self.start,
            since: None,
            end: None,
            begin: Begin::Start,
            era: self.hub.era(),
            headers: http::HeaderMap::new(),
            outlasts: false,
            present: self.presence.enter(),
        }
    }

    fn open(&self, recorded: Recorded, last: Option<&str>) -> http::Response<Body> {
        let query = last.map(|last| format!("lastEventId={last}"));
        let viewing = Viewing {
            client: CLIENT,
            session: Some(self.hub.session("sessionid", b"x")),
            last: crate::wire::last_event_id::of_request(&http::HeaderMap::new(), query.as_deref()),
            recorded,
        };
        let settings = Arc::new(Settings::default());
        let places = self.streams.places(&settings, CLIENT).unwrap();
        self.streams.view(&settings, places, viewing)
    }

    /// All that the stream says at first.
    fn says(&self, recorded: Recorded, last: Option<&str>) -> (String, bool) {
        match self.open(recorded, last).into_body() {
            Body::Held(mut held, _) => said(&mut held),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whose_session_ended_since_it_was_let_in_gets_no_byte() {
    let site = Site::new();
    let (stale, other) = (site.recorded(), site.recorded());
    site.hub
        .kick(&Whom::Session(site.hub.session("sessionid", b"y")));
    let (text, ended) = site.says(other, None);
    assert!(text.contains("data: two") && !ended, "{text}");
    site.hub
        .kick(&Whom::Session(site.hub.session("sessionid", b"x")));
    for last in [None, Some("0000000001-1")] {
        let again = Recorded {
            era: stale.era,
            ..site.recorded()
        };
        let (text, ended) = site.says(again, last);
        assert!(!text.contains("data:") && ended, "{text}");
    }
    assert_eq!(
        site.presence.count(),
        1,
        "viewers who have gone are not counted"
    );
}

#[test]
fn who_is_late_begins_at_the_start_or_now() {
    let site = Site::new();
    let (text, _) = site.says(site.recorded(), None);
    assert!(text.contains("data: one") && text.contains("data: two"));
    let begin = Begin::At(site.hub.log().position());
    let recorded = Recorded {
        begin,
        ..site.recorded()
    };
    let (text, _) = site.says(recorded, None);
    assert!(!text.contains("data:"), "{text}");
    let recorded = Recorded {
        begin,
        ..site.recorded()
    };
    let (text, _) = site.says(recorded, Some("0000000001-1"));
    assert!(
        text.contains("data: two") && !text.contains("one"),
        "{text}"
    );
}

#[test]
fn what_a_recording_lacks_is_said() {
    let site = Site::new();
    let since = |since: &str| Recorded {
        since: Some(since.to_owned()),
        ..site.recorded()
    };
    let (text, _) = site.says(since("v3"), Some("v3"));
    assert!(
        text.contains("data: one") && !text.contains("reset"),
        "{text}"
    );
    for (last, reason) in [(None, "history"), (Some("v2"), "unknown-id")] {
        let (text, _) = site.says(since("v3"), last);
        assert!(
            text.contains(reason) && text.contains("data: one"),
            "{text}"
        );
    }
}

#[test]
fn the_end_is_known_for_as_long_as_the_recording_is() {
    let site = Site::new();
    let end = site.publish(Event {
        close: true,
        ..event("end")
    });
    let over = || Recorded {
        end: Some(end),
        ..site.recorded()
    };
    let last = site.hub.log().id(end).to_string();
    assert_eq!(site.open(over(), Some(&last)).status(), 204);
    let (text, ended) = site.says(over(), None);
    assert!(text.contains("data: one") && text.contains("data: end") && ended);
}

#[test]
fn a_viewer_for_whom_there_is_no_slot_is_refused_his_places_and_counted() {
    let site = Site::new();
    let settings = Settings {
        per_ip: None,
        ..Settings::default()
    };
    let take = || site.streams.places(&settings, CLIENT);
    let taken: Vec<_> = (0..4).map(|_| take().unwrap()).collect();
    assert!(matches!(take(), Err(OpenError::Limited(Limit::Slots))));
    let refused = &site.streams.0.metrics.refused;
    let refused = refused.get_or_create(&[("reason", "slots")]).get();
    drop(taken);
    assert!(refused == 1 && take().is_ok());
}
