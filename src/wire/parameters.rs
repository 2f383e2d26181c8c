//! The parameters of a request to the internal listener, as its table of operations lists them.
//!
//! As strict as a body: an unknown parameter, one that is there twice and one without a good value are refused, so that a
//! typing mistake never asks for something else than was meant.

use std::borrow::Cow;
use std::fmt;

use super::last_event_id::LastEventId;
use super::openapi::Parameter;
use super::publish::Rejected;
use super::publish::event::{NO_USER, hint, shortened};
use super::query;
use crate::domain::{ChannelPattern, UserId};

/// What was given, each a known parameter.
#[derive(Debug)]
pub struct Parameters<'q>(Vec<(&'static str, Cow<'q, str>)>);

impl<'q> Parameters<'q> {
    /// Reads `query`, in which only `known` may be.
    pub fn read(query: Option<&'q str>, known: &'static [Parameter]) -> Result<Self, Rejected> {
        let mut given: Vec<(&'static str, Cow<'q, str>)> = Vec::new();
        for (name, value) in query::pairs(query.unwrap_or_default()) {
            let Some(parameter) = known.iter().find(|known| known.name == name) else {
                let names: Vec<_> = known.iter().map(|known| known.name).collect();
                let hint = hint(&name, &names);
                return Err(wrong(&name, "there is no such parameter", hint));
            };
            if !parameter.repeats && given.iter().any(|(known, _)| *known == parameter.name) {
                return Err(wrong(&name, "is there twice", None));
            }
            given.push((parameter.name, value));
        }
        Ok(Self(given))
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(known, _): &&(&str, _)| *known == name;
        self.0.iter().filter(same).map(|(_, value)| value.as_ref())
    }

    /// The value of a parameter.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The patterns of channels that a parameter names.
    pub fn patterns(&self, name: &str) -> Result<Vec<ChannelPattern>, Rejected> {
        let read = |text| ChannelPattern::parse(text).map_err(|error| wrong(name, error, None));
        self.all(name).map(read).collect()
    }

    /// A whole number from 1 to `most`.
    pub fn count(&self, name: &str, most: usize) -> Result<Option<usize>, Rejected> {
        let read = |text: &str| {
            // `parse` alone would take a sign.
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let count = text.parse().ok().filter(|count| (1..=most).contains(count));
            count.filter(|_| digits)
        };
        let refused = || {
            wrong(
                name,
                format_args!("must be a number from 1 to {most}"),
                None,
            )
        };
        let text = self.one(name);
        text.map(|text| read(text).ok_or_else(refused)).transpose()
    }

    /// A user.
    pub fn user(&self, name: &str) -> Result<Option<UserId>, Rejected> {
        let refused = || wrong(name, NO_USER, None);
        let text = self.one(name);
        text.map(|text| UserId::parse(text).ok_or_else(refused))
            .transpose()
    }

    /// The id of an event: this log's, or a publisher's.
    pub fn event_id(&self, name: &str) -> Result<Option<LastEventId>, Rejected> {
        match self.one(name).map(LastEventId::parse) {
            Some(LastEventId::Unusable) => Err(wrong(name, "is no id of an event", None)),
            id => Ok(id),
        }
    }
}

fn wrong(name: &str, message: impl fmt::Display, hint: Option<String>) -> Rejected {
    Rejected::Parameter {
        name: shortened(name).into_owned(),
        message: message.to_string(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openapi::{Verb, parameters};

    fn read(query: &str) -> Result<Parameters<'_>, Rejected> {
        Parameters::read(Some(query), parameters(Verb::Get, "/v1/streams"))
    }

    #[test]
    fn only_known_parameters_are_read_and_each_as_often_as_it_may() {
        let given = read("channel=a&user=4+2&channel=b%2Fc").unwrap();
        assert_eq!(given.all("channel").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(given.user("user").unwrap(), UserId::parse("4 2"));
        assert_eq!(given.one("route"), None);
        for (query, said) in [
            ("usr=1", "\"usr\": there is no such parameter"),
            ("user=1&user=1", "\"user\": is there twice"),
            ("=1", "\"\": there is no such parameter"),
        ] {
            assert_eq!(read(query).unwrap_err().to_string(), said);
        }
        let Err(Rejected::Parameter { hint, .. }) = read("chanel=a") else {
            panic!("it is refused")
        };
        assert_eq!(hint.as_deref(), Some("did you mean \"channel\"?"));
    }

    #[test]
    fn a_value_must_be_good() {
        for limit in ["0", "-1", "+1", "", "1001", "99999999999999999999", "a"] {
            let query = format!("limit={limit}");
            let given = read(&query).unwrap();
            assert!(given.count("limit", 1000).is_err(), "{limit}");
        }
        let given = read("limit=1000&user=&channel=a%20b").unwrap();
        assert_eq!(given.count("limit", 1000).unwrap(), Some(1000));
        assert!(given.user("user").is_err() && given.patterns("channel").is_err());
        for (id, good) in [
            ("x", true),
            ("00000000ab-1", true),
            ("", false),
            ("a%0ab", false),
        ] {
            let query = format!("route={id}");
            assert_eq!(
                read(&query).unwrap().event_id("route").is_ok(),
                good,
                "{id}"
            );
        }
    }
}
