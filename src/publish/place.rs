//! Where the fields of an event stand in a request, for the problems that are found once it is read.

use crate::wire::problem::{Problem, pointer};
use crate::wire::publish::{Publish, lists_channels};

/// Where the events of a request stand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// One, as JSON.
    Object(&'a [u8]),
    /// The elements of a JSON array.
    Batch(&'a [u8]),
    /// One: its channel in the path, the other fields in the query.
    Query,
}

impl<'a> Place<'a> {
    /// That of what was read from `text`.
    pub(super) const fn of(publish: &Publish, text: &'a [u8]) -> Self {
        if publish.is_batch() {
            Self::Batch(text)
        } else {
            Self::Object(text)
        }
    }

    /// Puts the place of `field` of the event with this number into `problem`. The field `channel` may be written
    /// `channels`.
    pub(super) fn tell(self, problem: Problem, number: usize, field: &str) -> Problem {
        let written = |text| match field {
            "channel" if lists_channels(text, number) => "channels",
            field => field,
        };
        match self {
            Self::Object(text) => problem.at(pointer([written(text)])),
            Self::Batch(text) => problem.at(pointer([&*number.to_string(), written(text)])),
            // As of a path that names no channel.
            Self::Query if field == "channel" => problem.at(pointer([field])),
            Self::Query => problem.in_parameter(field.to_owned()),
        }
    }
}
