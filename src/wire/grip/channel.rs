//! A channel of a held request: its name, the last id that the client has of it, its filters.

use std::fmt;

use super::instruct::BadInstruct;
use super::{is_id, is_name};

/// The most filters of one channel that are known.
const MOST_FILTERS: usize = 5;

/// What decides on an item of a channel, or changes its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Drops what its own user sent.
    SkipSelf,
    /// Drops what names the user as one to skip.
    SkipUsers,
    /// Drops what needs a channel that the request is not on.
    RequireSub,
    /// Writes ids into the content.
    BuildId,
    /// Writes the request's meta into the content.
    VarSubst,
}

impl Filter {
    /// The filter of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "skip-self" => Self::SkipSelf,
            "skip-users" => Self::SkipUsers,
            "require-sub" => Self::RequireSub,
            "build-id" => Self::BuildId,
            "var-subst" => Self::VarSubst,
            _ => return None,
        })
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SkipSelf => "skip-self",
            Self::SkipUsers => "skip-users",
            Self::RequireSub => "require-sub",
            Self::BuildId => "build-id",
            Self::VarSubst => "var-subst",
        }
    }

    /// Whether it changes bytes and drops nothing.
    pub const fn is_content(self) -> bool {
        matches!(self, Self::BuildId | Self::VarSubst)
    }
}

/// The filters of one channel that are known, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Filters([Option<Filter>; MOST_FILTERS]);

impl Filters {
    /// The filters of these names. Unknown names are passed over.
    pub fn named<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, BadInstruct> {
        let mut filters = Self::default();
        for filter in names.filter_map(Filter::parse) {
            let mut places = filters.0.iter_mut();
            let free = places.find(|place| place.is_none());
            *free.ok_or(BadInstruct::TooManyFilters)? = Some(filter);
        }
        Ok(filters)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Filter> + use<> {
        self.0.into_iter().flatten()
    }

    /// Those that change content.
    pub fn content(&self) -> impl Iterator<Item = Filter> + use<> {
        self.iter().filter(|filter| filter.is_content())
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A channel that a request is held on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// 1 to 512 bytes, no control characters.
    pub name: Box<str>,
    /// The id of the last item that the client has. Unset: the order of the channel is not watched.
    pub prev_id: Option<Box<str>>,
    /// What its items go through.
    pub filters: Filters,
}

impl Channel {
    /// Checks what Django said about a channel.
    pub(super) fn new<'a>(
        name: &str,
        prev_id: Option<&str>,
        filters: impl Iterator<Item = &'a str>,
    ) -> Result<Self, BadInstruct> {
        if !is_name(name) {
            return Err(BadInstruct::Channel);
        }
        if !prev_id.is_none_or(is_id) {
            return Err(BadInstruct::PrevId);
        }
        Ok(Self {
            name: name.into(),
            prev_id: prev_id.map(Into::into),
            filters: Filters::named(filters)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_keep_their_order_and_unknown_ones_are_passed_over() {
        let names = ["build-id", "x", "skip-users", "var-subst", "build-id", "Y"];
        let filters = Filters::named(names.into_iter()).unwrap();
        let known = |filters: &mut dyn Iterator<Item = Filter>| -> Vec<&str> {
            filters.map(Filter::as_str).collect()
        };
        assert_eq!(
            known(&mut filters.iter()),
            ["build-id", "skip-users", "var-subst", "build-id"]
        );
        assert_eq!(
            known(&mut filters.content()),
            ["build-id", "var-subst", "build-id"]
        );
        assert!(!filters.is_empty() && Filters::default().is_empty());
        assert_eq!(format!("{filters:?}").matches("BuildId").count(), 2);
    }

    #[test]
    fn a_sixth_filter_is_one_too_many() {
        let many = |count| Filters::named(std::iter::repeat_n("skip-self", count));
        assert!(many(5).is_ok_and(|filters| filters.iter().count() == 5));
        assert_eq!(many(6), Err(BadInstruct::TooManyFilters));
    }

    #[test]
    fn names_and_ids_fit_on_a_line() {
        let new = |name: &str, id| Channel::new(name, id, std::iter::empty());
        assert!(new(&"a".repeat(512), Some("")).is_ok());
        for name in ["", "a\nb", &"a".repeat(513)] {
            assert_eq!(new(name, None), Err(BadInstruct::Channel));
        }
        for id in ["a\r\n", "\0", &"1".repeat(1025)] {
            assert_eq!(new("a", Some(id)), Err(BadInstruct::PrevId));
        }
    }
}
