//! What one listener is owed, worked out from the list of all events alone.
//!
//! It reads the bytes of the stream as a client would, and says of each event whether it may come now. Beside a reset
//! nothing may be missing, doubled or out of order, and no place may be told beyond what was given.

use std::collections::VecDeque;

use crate::domain::{ChannelName, Keep, StreamId};

/// An event as it was published; its number is its index in the list, counted from one.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) channels: Vec<ChannelName>,
    pub(super) keep: Keep,
    pub(super) name: usize,
    pub(super) except: Option<StreamId>,
    pub(super) close: bool,
    pub(super) id: Option<String>,
}

/// One thing a client reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Event { number: u64, id: String },
    Reset { id: Option<String> },
    Place { id: String },
}

/// Reads whole frames: what this program writes, and nothing else.
pub(super) fn items(text: &str) -> Vec<Item> {
    let mut items = vec![];
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        let field = |name: &str| {
            let mut values = block.lines().filter_map(|line| line.strip_prefix(name));
            values.next().map(ToOwned::to_owned)
        };
        let (id, data) = (field("id: "), field("data: "));
        match (field("event: ").as_deref(), data, id) {
            (Some("reset"), Some(_), id) => items.push(Item::Reset { id }),
            (_, Some(data), Some(id)) => {
                let number = data.parse().unwrap();
                items.push(Item::Event { number, id });
            }
            (_, Some(data), None) => panic!("an event without an id: {data}"),
            (_, None, Some(id)) => items.push(Item::Place { id }),
            (_, None, None) => {}
        }
    }
    items
}

/// What a listener is owed on one connection.
#[derive(Debug)]
pub(super) struct Oracle {
    stream: StreamId,
    channels: Vec<ChannelName>,
    /// The end of the log when it opened: what was before is owed as far as it was kept.
    opened: u64,
    /// Where it began, or got its channels: states from before may come.
    from: u64,
    /// States that must come before anything else.
    states: VecDeque<u64>,
    owed: VecDeque<u64>,
    /// What came since it was said to have missed something, and not yet where it goes on.
    since_reset: Option<Vec<u64>>,
    /// Whether no state is ever dropped, so that those that come with a reset can be told exactly.
    has_all_states: bool,
    pub(super) resets: usize,
    pub(super) events: usize,
}

impl Oracle {
    /// A connection that begins after event number `from`; `fresh` if the client brought no id.
    pub(super) fn new(
        all: &[Told],
        stream: StreamId,
        channels: Vec<ChannelName>,
        from: u64,
        fresh: bool,
        has_all_states: bool,
    ) -> Self {
        let opened = all.len() as u64;
        let mut oracle = Self {
            stream,
            channels,
            opened,
            from,
            states: VecDeque::new(),
            owed: VecDeque::new(),
            since_reset: None,
            has_all_states,
            resets: 0,
            events: 0,
        };
        if fresh && has_all_states {
            let states = (1..=from).filter(|n| oracle.is_state(all, *n, all.len()));
            oracle.states = states.collect();
        }
        oracle.owe_from(all, from);
        oracle
    }

    fn is_mine(&self, told: &Told) -> bool {
        told.except != Some(self.stream)
            && told
                .channels
                .iter()
                .any(|name| self.channels.contains(name))
    }

    /// Whether event `n` was the newest of its name in one of the channels when the log ended at `end`.
    fn is_state(&self, all: &[Told], n: u64, end: usize) -> bool {
        let n = usize::try_from(n).unwrap();
        let told = &all[n - 1];
        let newest = |name: &&ChannelName| {
            !all[n..end].iter().any(|newer| {
                newer.keep == Keep::Last && newer.name == told.name && newer.channels.contains(name)
            })
        };
        let mut mine = told
            .channels
            .iter()
            .filter(|name| self.channels.contains(name));
        told.keep == Keep::Last && self.is_mine(told) && mine.any(|name| newest(&name))
    }

    fn owe_from(&mut self, all: &[Told], from: u64) {
        let is_owed = |n: &u64| {
            let told = &all[usize::try_from(*n).unwrap() - 1];
            let kept = match told.keep {
                _ if *n > self.opened => true,
                Keep::All => true,
                Keep::None => false,
                Keep::Last => self.is_state(all, *n, usize::try_from(self.opened).unwrap()),
            };
            kept && self.is_mine(told)
        };
        self.owed = (from + 1..=all.len() as u64).filter(is_owed).collect();
    }

    /// The newest event of `all` was published.
    pub(super) fn published(&mut self, all: &[Told]) {
        if all.last().is_some_and(|told| self.is_mine(told)) {
            self.owed.push_back(all.len() as u64);
        }
    }

    /// From now on it hears `channels`, from after event number `from`.
    pub(super) fn moved(&mut self, all: &[Told], channels: Vec<ChannelName>, from: u64) {
        let added: Vec<_> = channels
            .iter()
            .filter(|name| !self.channels.contains(name))
            .cloned()
            .collect();
        let before = std::mem::replace(&mut self.channels, added);
        let known = |n: u64| {
            let told = &all[usize::try_from(n).unwrap() - 1];
            told.channels.iter().any(|name| before.contains(name))
        };
        let states = (1..=from).filter(|n| self.is_state(all, *n, all.len()) && !known(*n));
        self.states = if self.has_all_states {
            states.collect()
        } else {
            VecDeque::new()
        };
        self.channels = channels;
        self.from = from;
        self.owe_from(all, from);
    }

    /// Whether this event may come now.
    pub(super) fn take(&mut self, all: &[Told], item: &Item) -> Result<(), String> {
        match item {
            Item::Reset { id } => {
                self.resets += 1;
                self.since_reset = Some(vec![]);
                self.states.clear();
                self.owed.clear();
                if let Some(id) = id {
                    self.go_on(all, id)?;
                }
            }
            Item::Place { id } if self.since_reset.is_some() => self.go_on(all, id)?,
            Item::Place { id } => {
                let place = number_of(all, id).ok_or("a place that is none")?;
                if let Some(missing) = self.next_owed(all).filter(|next| *next <= place) {
                    return Err(format!(
                        "told to be at {place}, but {missing} was not given"
                    ));
                }
            }
            Item::Event { number, id } => return self.take_event(all, *number, id),
        }
        Ok(())
    }

    fn go_on(&mut self, all: &[Told], id: &str) -> Result<(), String> {
        let place = number_of(all, id).ok_or("a place that is none")?;
        // What was newer when the stream opened is given after the place.
        let end = usize::try_from(place.max(self.opened)).unwrap();
        let states = (1..=place).filter(|n| self.is_state(all, *n, end));
        let states: Vec<_> = states.collect();
        let came = self.since_reset.take().unwrap_or_default();
        if self.has_all_states && came != states {
            return Err(format!(
                "with a reset came {came:?}, the states were {states:?}"
            ));
        }
        self.owe_from(all, place);
        Ok(())
    }

    fn take_event(&mut self, all: &[Told], number: u64, id: &str) -> Result<(), String> {
        if number_of(all, id) != Some(number) {
            return Err(format!("{number} came with the id {id}"));
        }
        if let Some(came) = &mut self.since_reset {
            // Each is held against the place that is told after them.
            came.push(number);
            let told = &all[usize::try_from(number).unwrap() - 1];
            let is_one = told.keep == Keep::Last && self.is_mine(told);
            return is_one
                .then_some(())
                .ok_or_else(|| format!("{number} is no state"));
        }
        if self.states.front() == Some(&number) {
            self.states.pop_front();
            return Ok(());
        }
        if let Some(state) = self.states.front() {
            return Err(format!("{number} came before the state {state}"));
        }
        let next = self.next_owed(all);
        let before = self.owed.iter().position(|owed| *owed == number);
        if let Some(before) = before.filter(|_| next.is_none_or(|next| number <= next)) {
            self.owed.drain(..=before);
            self.events += 1;
            return Ok(());
        }
        // Which of the states are left where they are dropped, nobody can say but the log.
        let told = &all[usize::try_from(number).unwrap() - 1];
        let is_old = number <= self.from && !self.has_all_states;
        if is_old && told.keep == Keep::Last && self.is_mine(told) {
            return Ok(());
        }
        Err(format!(
            "{told:?} came as {number}, owed was {next:?}; opened at {}",
            self.opened
        ))
    }

    /// The next event that must come. A state that was owed from before the opening may have been superseded since: then
    /// it comes only if it had been read already.
    pub(super) fn next_owed(&self, all: &[Told]) -> Option<u64> {
        let superseded = |n: u64| {
            let told = &all[usize::try_from(n).unwrap() - 1];
            told.keep == Keep::Last && n <= self.opened && !self.is_state(all, n, all.len())
        };
        let owed = self.owed.iter().copied().find(|n| !superseded(*n));
        self.states.front().copied().or(owed)
    }
}

/// The number of the event with this id, the publisher's or the log's.
pub(super) fn number_of(all: &[Told], id: &str) -> Option<u64> {
    let own = |told: &Told| told.id.as_deref() == Some(id);
    if let Some(index) = all.iter().rposition(own) {
        return Some(index as u64 + 1);
    }
    let (_, number) = id.split_once('-')?;
    let number = number.parse().ok();
    number.filter(|number| *number <= all.len() as u64)
}
