//! The log's channels: found by name, or, by a reader that holds them, by key.
//!
//! A key is good for as long as its channel is there, and the log does not forget a channel that is being read; so a
//! reader looks no name up, however often it reads.

use std::collections::HashMap;

use slab::Slab;

use super::channel::Channel;
use crate::domain::ChannelName;

/// The channels of a log.
#[derive(Debug, Default)]
pub(super) struct Channels {
    keys: HashMap<ChannelName, u32>,
    channels: Slab<Channel>,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn key(&self, name: &ChannelName) -> Option<u32> {
        self.keys.get(name).copied()
    }

    /// The name as this table has it.
    pub(super) fn name(&self, name: &ChannelName) -> Option<&ChannelName> {
        self.keys.get_key_value(name).map(|(known, _)| known)
    }

    pub(super) fn at(&self, key: u32) -> Option<&Channel> {
        self.channels.get(key as usize)
    }

    pub(super) fn at_mut(&mut self, key: u32) -> Option<&mut Channel> {
        self.channels.get_mut(key as usize)
    }

    pub(super) fn get(&self, name: &ChannelName) -> Option<&Channel> {
        self.at(self.key(name)?)
    }

    pub(super) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        self.at_mut(self.key(name)?)
    }

    /// Adds a channel that is not there; its key.
    pub(super) fn insert(&mut self, name: ChannelName, channel: Channel) -> u32 {
        let key = u32::try_from(self.channels.insert(channel));
        let key = key.expect("memory ends before 2^32 channels");
        self.keys.insert(name, key);
        key
    }

    pub(super) fn remove(&mut self, name: &ChannelName) {
        if let Some(key) = self.keys.remove(name) {
            drop(self.channels.try_remove(key as usize));
        }
        // What many channels took is given back when they are gone; keys stay as they are.
        if self.keys.len() < self.keys.capacity() / 8 && self.keys.capacity() > 1024 {
            self.keys.shrink_to(2 * self.keys.len());
            self.channels.shrink_to_fit();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &Channel)> {
        let channel = |(name, key): (_, &u32)| self.at(*key).map(|channel| (name, channel));
        self.keys.iter().filter_map(channel)
    }
}
