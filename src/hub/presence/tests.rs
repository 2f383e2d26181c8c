//! What is told of who comes and goes, and that it is true in the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LEAVE_AFTER: Duration = Duration::from_secs(10);

/// A presence whose time the test makes, and what was told of it.
struct Told {
    presence: Presence,
    now: Instant,
}

fn channels(names: &[&str]) -> Vec<ChannelName> {
    let names = names.iter();
    names
        .map(|name| ChannelName::parse(name).unwrap())
        .collect()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

impl Told {
    /// Its reset was taken.
    fn new(most_gone: usize) -> Self {
        let mut presence = Presence::new(LEAVE_AFTER, most_gone, Metrics::default());
        let now = Instant::now();
        assert_eq!(presence.next_due(now), Some(now));
        assert_eq!(presence.take(1, now)[0].what, What::Reset);
        Self { presence, now }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.now,
            timestamp: Timestamp::now(),
        }
    }

    fn join(&mut self, names: &[&str], name: &str) {
        let user = (!name.is_empty()).then(|| user(name));
        let now = self.now();
        self.presence.join(&channels(names), user.as_ref(), now);
        self.holds();
    }

    fn leave(&mut self, names: &[&str], name: &str) {
        let user = (!name.is_empty()).then(|| user(name));
        let now = self.now();
        self.presence
            .leave(channels(names).iter(), user.as_ref(), now);
        self.holds();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// What is told now, as `joined room 1`.
    fn take(&mut self) -> Vec<String> {
        self.take_some(usize::MAX)
    }

    fn take_some(&mut self, most: usize) -> Vec<String> {
        let changes = self.presence.take(most, self.now);
        self.holds();
        let words = changes.iter().map(|change| match &change.what {
            What::Reset => "reset".to_owned(),
            What::InUse(channel) => format!("in-use {channel}"),
            What::Joined(channel, user) => format!("joined {channel} {}", user.as_str()),
            What::Left(channel, user) => format!("left {channel} {}", user.as_str()),
            What::Empty(channel) => format!("empty {channel}"),
        });
        words.collect()
    }

    /// What must be true at any time.
    fn holds(&self) {
        let Presence { subjects, due, .. } = &self.presence;
        let gone = subjects.values().filter(|state| state.streams == 0);
        assert_eq!(self.presence.gone, gone.count());
        assert!(self.presence.gone <= self.presence.most_gone);
        let planned = subjects.values().filter(|state| state.due.is_some());
        assert_eq!(planned.count(), due.len());
        assert_eq!(
            usize::try_from(self.presence.metrics.pending.get()),
            Ok(due.len())
        );
        for (subject, state) in subjects {
            assert_eq!(state.due.is_some(), state.told != (state.streams > 0));
            let pending = state.due.map(|due| &self.presence.due[&due].subject);
            assert!(pending.is_none_or(|pending| pending == subject));
        }
    }
}

#[test]
fn who_comes_and_goes_is_told_in_this_order() {
    let mut told = Told::new(9);
    told.join(&["room", "news"], "1");
    assert_eq!(
        told.take(),
        [
            "in-use room",
            "joined room 1",
            "in-use news",
            "joined news 1"
        ]
    );
    told.join(&["room"], "2");
    assert_eq!(told.take(), ["joined room 2"]);
    told.leave(&["room", "news"], "1");
    assert!(told.take().is_empty());
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left room 1", "left news 1", "empty news"]);
    told.leave(&["room"], "2");
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left room 2", "empty room"]);
    assert!(told.presence.subjects.is_empty());
}

#[test]
fn a_page_reload_makes_no_noise() {
    let mut told = Told::new(9);
    told.join(&["room"], "1");
    told.take();
    told.leave(&["room"], "1");
    told.pass(LEAVE_AFTER.saturating_sub(Duration::from_millis(1)));
    assert_eq!(
        told.presence.next_due(told.now),
        Some(told.now + Duration::from_millis(1))
    );
    told.join(&["room"], "1");
    assert_eq!(told.presence.next_due(told.now), None);
    told.pass(LEAVE_AFTER * 2);
    assert!(told.take().is_empty());
    told.leave(&["room"], "1");
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left room 1", "empty room"]);
}

#[test]
fn a_user_with_many_streams_joins_once_and_leaves_with_the_last() {
    let mut told = Told::new(9);
    for _ in 0..3 {
        told.join(&["room"], "1");
    }
    assert_eq!(told.take(), ["in-use room", "joined room 1"]);
    told.leave(&["room"], "1");
    told.leave(&["room"], "1");
    told.pass(LEAVE_AFTER);
    assert!(told.take().is_empty());
    told.leave(&["room"], "1");
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left room 1", "empty room"]);
}

#[test]
fn who_came_and_went_untold_was_never_there() {
    let mut told = Told::new(0);
    told.join(&["room"], "1");
    told.leave(&["room"], "1");
    assert!(told.presence.subjects.is_empty());
    told.pass(LEAVE_AFTER);
    assert!(told.take().is_empty());
}

#[test]
fn streams_without_a_user_count_for_the_channel_alone_and_unnamed_channels_not_at_all() {
    let mut told = Told::new(9);
    told.join(&["room"], "");
    assert_eq!(told.take(), ["in-use room"]);
    let (own, now) = ([ChannelName::of_user(&user("1"))], told.now());
    told.presence.join(&own, Some(&user("1")), now);
    assert!(told.take().is_empty());
    told.presence.leave(own.iter(), Some(&user("1")), now);
    told.leave(&["room"], "");
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["empty room"]);
}

#[test]
fn a_renewed_ask_that_changes_channels_is_a_leave_of_those_that_are_left_out() {
    let mut told = Told::new(9);
    told.join(&["room", "old"], "1");
    told.take();
    // As a stream does it: it joins again before it leaves.
    told.join(&["room", "new"], "1");
    told.leave(&["room", "old"], "1");
    assert_eq!(told.take(), ["in-use new", "joined new 1"]);
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left old 1", "empty old"]);
}

#[test]
fn a_batch_ends_where_it_is_full_and_the_rest_follows() {
    let mut told = Told::new(9);
    told.join(&["room"], "1");
    told.join(&["room"], "2");
    assert_eq!(told.take_some(2), ["in-use room", "joined room 1"]);
    // Who leaves in between was told, or was not.
    told.leave(&["room"], "1");
    told.leave(&["room"], "2");
    assert!(told.take_some(2).is_empty());
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take_some(1), ["left room 1"]);
    assert_eq!(told.take_some(9), ["empty room"]);
}

#[test]
fn too_many_who_are_gone_become_a_reset() {
    let mut told = Told::new(4);
    for name in ["1", "2", "3", "4", "5"] {
        told.join(&["room"], name);
    }
    assert_eq!(told.take().len(), 6);
    for name in ["1", "2", "3", "4"] {
        told.leave(&["room"], name);
    }
    assert_eq!(told.presence.metrics.resets.get(), 0);
    told.join(&["room"], "6");
    told.join(&["room"], "7");
    told.leave(&["room"], "5");
    assert_eq!(told.presence.metrics.resets.get(), 1);
    // The first says that nobody is there, so that nothing need be known of those five.
    assert_eq!(told.presence.next_due(told.now), Some(told.now));
    assert_eq!(told.presence.subjects.len(), 3);
    assert_eq!(told.take_some(1), ["reset"]);
    let mut rest = told.take();
    rest[1..].sort_unstable();
    assert_eq!(rest, ["in-use room", "joined room 6", "joined room 7"]);
}

#[test]
fn the_end_of_the_gateway_is_nobodys_leaving() {
    let mut told = Told::new(9);
    told.join(&["room"], "1");
    told.join(&["room"], "2");
    told.take();
    told.leave(&["room"], "1");
    told.presence.end();
    told.leave(&["room"], "2");
    told.pass(LEAVE_AFTER);
    assert_eq!(told.take(), ["left room 1"], "who left before has left");
}

/// What a naive receiver makes of what it is told; it refuses what makes no sense.
#[derive(Default)]
struct Django {
    there: BTreeSet<(String, String)>,
    in_use: BTreeSet<String>,
}

impl Django {
    fn hears(&mut self, told: &[String]) {
        for word in told {
            let mut words = word.split(' ').map(str::to_owned);
            let kind = words.next().unwrap();
            let (channel, user) = (words.next(), words.next());
            let pair = channel.clone().zip(user);
            match kind.as_str() {
                "reset" => *self = Self::default(),
                "in-use" => assert!(self.in_use.insert(channel.unwrap())),
                "joined" => {
                    assert!(self.in_use.contains(&channel.unwrap()));
                    assert!(self.there.insert(pair.unwrap()));
                }
                "left" => assert!(self.there.remove(&pair.unwrap())),
                _ => {
                    let channel = channel.unwrap();
                    assert!(!self.there.iter().any(|(on, _)| *on == channel));
                    assert!(self.in_use.remove(&channel));
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A stream comes: its channels, by bits, and its user; 0 is none.
    Join(u8, u8),
    /// One of those that are there goes.
    Leave(usize),
    /// Something is told, at most so many changes.
    Take(usize),
    /// Seconds go by.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8, 0..4_u8).prop_map(|(channels, user)| Step::Join(channels, user)),
        4 => any::<usize>().prop_map(Step::Leave),
        2 => (1..5_usize).prop_map(Step::Take),
        1 => (1..12_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn what_was_told_in_the_end_is_who_is_there(
        steps in proptest::collection::vec(step(), 0..120),
        most_gone in prop_oneof![0..6_usize, Just(1000)],
    ) {
        let mut told = Told::new(most_gone);
        let mut django = Django::default();
        let mut open: Vec<(Vec<&str>, String)> = Vec::new();
        for step in steps {
            match step {
                Step::Join(bits, user) => {
                    let on = ["a", "b", "c"].into_iter().enumerate();
                    let on: Vec<_> = on.filter(|(n, _)| bits & (1 << n) != 0).map(|(_, name)| name).collect();
                    let user = ["", "1", "2", "3"][user as usize].to_owned();
                    told.join(&on, &user);
                    open.push((on, user));
                }
                Step::Leave(n) if !open.is_empty() => {
                    let (on, user) = open.swap_remove(n % open.len());
                    told.leave(&on, &user);
                }
                Step::Leave(_) => {}
                Step::Take(most) => django.hears(&told.take_some(most)),
                Step::Pass(seconds) => told.pass(Duration::from_secs(seconds)),
            }
        }
        told.pass(LEAVE_AFTER);
        django.hears(&told.take());
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (on, user) in &open {
            for channel in on {
                there.entry((*channel).to_owned()).or_default().insert(user.clone());
            }
        }
        prop_assert!(django.in_use.iter().eq(there.keys()));
        let pairs: BTreeSet<_> = there
            .into_iter()
            .flat_map(|(channel, users)| users.into_iter().map(move |user| (channel.clone(), user)))
            .filter(|(_, user)| !user.is_empty())
            .collect();
        prop_assert_eq!(&django.there, &pairs);
        prop_assert_eq!(told.presence.gone, 0);
        prop_assert!(told.presence.due.is_empty());
    }
}
