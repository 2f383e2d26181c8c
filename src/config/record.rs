//! `record` of a route's `proxy`.

use super::reader::Section;
use crate::record::{Per, Replay, Settings};

/// The words of `replay`.
pub(super) const REPLAY: [(&str, Replay); 2] = [("all", Replay::All), ("new", Replay::New)];

/// The words of `per`.
pub(super) const PER: [(&str, Per); 3] = [
    ("credentials", Per::Credentials),
    ("user", Per::User),
    ("all", Per::All),
];

/// `record`, a flag or a table; `None` if it is not there, or says no.
pub(super) fn record(section: &mut Section<'_>) -> Option<Settings> {
    let value = section.value("record")?;
    if !value.is_table() {
        return value.flag()?.then(Settings::default);
    }
    value.table("route[].proxy.record", |section| {
        let mut settings = Settings::default();
        let replay = section.choice("replay", &REPLAY);
        settings.replay = replay.unwrap_or(settings.replay);
        section.duration("linger", &mut settings.linger);
        let per = section.choice("per", &PER);
        settings.per = per.unwrap_or(settings.per);
        settings
    })
}
