//! The order of items, in simulated time.

use tokio::time::advance;

use super::sequence::Sequencer;
use super::*;
use crate::base::metrics::Registry;
use crate::domain::{Epoch, Position, StreamId};
use crate::history::{self, Log};
use crate::hub::{Era, Hub, Membership, Seat};
use crate::tokens::keys::{Keyed, Keys};
use crate::wire::grip::signature::Key;
use crate::wire::grip::{Action, Stored};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

struct Site {
    hub: Hub,
    items: Sequencer,
    _listening: Option<(Membership, Seat)>,
}

impl Site {
    fn new(is_listening: bool) -> Self {
        let registry = Registry::default();
        let settings = history::Settings {
            events: 1000,
            ..history::Settings::default()
        };
        let hub = Hub::new(
            Log::new(settings, Epoch::from_random(1), &registry),
            &registry,
        );
        let listening = is_listening.then(|| {
            let seat = hub.seat(StreamId::from_random(1), None);
            let channels: Arc<[_]> = [ChannelName::of_foreign("c")].into();
            (seat.join(None, &channels, Era(0)), seat)
        });
        Self {
            items: Sequencer::new(hub.clone(), &registry),
            hub,
            _listening: listening,
        }
    }

    fn take(&self, text: &str) {
        self.items.take(items(text)).unwrap();
    }

    /// The ids in the order of the log.
    fn ids(&self) -> Vec<String> {
        let channels = [ChannelName::of_foreign("c")];
        let mut cursor = self.hub.log().cursor(channels, Position::START);
        let mut frames = VecDeque::new();
        cursor.read(StreamId::from_random(1), 1000, &mut frames);
        let ids = frames.iter().map(|frame| {
            let item = Stored::read(frame).unwrap();
            item.id.unwrap_or("-").to_owned()
        });
        ids.collect()
    }

    fn count(&self, outcome: &'static str) -> u64 {
        self.items.counted(outcome)
    }

    /// Has the one who watches do what is due.
    async fn pass(&self, time: Duration) {
        tokio::task::yield_now().await;
        advance(time).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
}

/// `7 after 6`, `8`, `- after 8`; what stands behind `=` is the content.
fn items(text: &str) -> Vec<Item> {
    let item = |text: &str| {
        let (text, content) = text.split_once('=').unwrap_or((text, "x"));
        let (id, prev_id) = match text.trim().split_once(" after ") {
            Some((id, prev_id)) => (id, Some(prev_id)),
            None => (text.trim(), None),
        };
        serde_json::json!({
            "channel": "c",
            "id": (id != "-").then_some(id),
            "prev-id": prev_id,
            "http-stream": {"content": content},
        })
    };
    let items: Vec<_> = text.split(',').map(item).collect();
    read(serde_json::json!({"items": items}).to_string().as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_twice_is_taken_once_for_a_while() {
    let site = Site::new(true);
    site.take("1, 2 after 1, 1");
    site.take("2 after 1");
    assert_eq!(
        (site.ids(), site.count("duplicate")),
        (vec!["1".into(), "2".into()], 2)
    );
    site.pass(Duration::from_secs(11)).await;
    site.take("1");
    assert_eq!(site.ids(), ["1", "2", "1"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_other_content_is_another_item_and_one_without_an_id_always_is() {
    let site = Site::new(true);
    site.take("kick-1 = a, kick-1 = b, kick-1 = a, -, -");
    assert_eq!(site.ids(), ["kick-1", "kick-1", "-", "-"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_streams_is_for_those_who_came_since_the_last() {
    let site = Site::new(true);
    let kick = || {
        let mut kick = items("kick-1 = gone, kick-2 after kick-1");
        kick[1].stream.as_mut().unwrap().action = Action::Close;
        site.items.take(kick).unwrap();
    };
    kick();
    kick();
    assert_eq!(site.ids(), ["kick-1", "kick-2", "kick-2"]);
    assert_eq!((site.count("duplicate"), site.count("published")), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_streams_waits_as_others_do_also_if_it_comes_twice() {
    let site = Site::new(true);
    site.take("1");
    let close = |text| {
        let mut close = items(text);
        close[0].stream.as_mut().unwrap().action = Action::Close;
        site.items.take(close).unwrap();
    };
    close("3 after 2");
    close("3 after 2");
    assert_eq!((site.ids(), site.count("duplicate")), (vec!["1".into()], 1));
    site.take("2 after 1");
    assert_eq!(site.ids(), ["1", "2", "3"]);
    close("- after 4");
    assert_eq!(site.ids(), ["1", "2", "3"]);
    site.take("4 after 3");
    assert_eq!(site.ids(), ["1", "2", "3", "4", "-"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_waits_for_the_one_before_it() {
    let site = Site::new(true);
    site.take("1");
    site.take("4 after 3, 3 after 2");
    assert_eq!(site.ids(), ["1"]);
    site.take("2 after 1");
    assert_eq!(site.ids(), ["1", "2", "3", "4"]);
    site.pass(Duration::from_secs(6)).await;
    assert_eq!((site.ids().len(), site.count("late")), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_goes_on_with_those_who_wait_for_it() {
    let site = Site::new(true);
    site.take("1");
    site.take("4 after 3, 3 after 2");
    site.pass(Duration::from_millis(4900)).await;
    assert_eq!(site.ids(), ["1"]);
    site.pass(Duration::from_millis(200)).await;
    assert_eq!(
        (site.ids(), site.count("late")),
        (vec!["1".into(), "3".into(), "4".into()], 1)
    );
    site.take("9 after 8");
    site.pass(Duration::from_millis(5100)).await;
    assert_eq!(site.ids().last().unwrap(), "9", "it is watched again");
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_where_nobody_listens_or_the_order_is_not_known() {
    let quiet = Site::new(false);
    quiet.take("1, 3 after 2");
    assert_eq!(quiet.ids(), ["1", "3"]);
    let site = Site::new(true);
    site.take("7 after 6");
    assert_eq!(site.ids(), ["7"], "nothing came before");
    site.take("-, 9 after 8");
    assert_eq!(
        site.ids(),
        ["7", "-", "9"],
        "an item without an id says nothing"
    );
    site.items.forget_order(None);
    site.take("12 after 11");
    assert_eq!(site.ids().last().unwrap(), "12");
}

#[tokio::test(start_paused = true)]
async fn an_item_may_say_that_it_does_not_wait() {
    let site = Site::new(true);
    site.take("1");
    let mut item = items("5 after 4");
    item[0].no_seq = true;
    site.items.take(item).unwrap();
    assert_eq!(site.ids(), ["1", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_has_room_for_some_that_wait_and_for_one_after_each() {
    let site = Site::new(true);
    site.take("1");
    for number in 0..100 {
        site.take(&format!("{} after {}", number + 1001, number + 1000));
    }
    site.take("a after 1000, b after 1000");
    assert_eq!((site.ids().len(), site.count("overflowing")), (3, 2));
    site.pass(Duration::from_secs(6)).await;
    assert_eq!(site.ids().len(), 103);
    let site = Site::new(true);
    site.take("1, 3 after 2, 4 after 2, 2 after 1");
    assert_eq!(
        (site.ids(), site.count("conflicting")),
        (vec!["1".into(), "2".into(), "3".into()], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_goes_on() {
    let site = Site::new(true);
    site.take("1, 3 after 2");
    site.items.close(Duration::from_secs(1)).await;
    assert_eq!(site.ids(), ["1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_has_only_its_own_order_forgotten() {
    let keyed = |prefix: &str| Keyed {
        prefix: prefix.into(),
        key: Some(Key::parse("key").unwrap()),
    };
    for (prefix, ids) in [("other-", ["1", "2", "9"].as_slice()), ("", &["1", "9"])] {
        let site = Site::new(true);
        site.take("1");
        let scope = Keys::new(std::iter::once(keyed(prefix))).verify(b"key", 0);
        site.items.forget_order(scope.as_ref());
        site.take("9 after 2");
        site.take("2 after 1");
        assert_eq!(site.ids(), ids, "{prefix:?}");
    }
}
