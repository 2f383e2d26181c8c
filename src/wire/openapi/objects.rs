//! The objects of the internal API: what is sent, what is answered.

use super::schema::{Field, Object, Schema};

pub(super) const CHANNEL: Schema = Schema::Form("^[A-Za-z0-9_.:@/-]{1,200}$");
pub(super) const STREAM: Schema = Schema::Form("^[0-9a-f]{32}$");
pub(super) const KEEP: Schema = Schema::OneOf(&["all", "last", "none"]);
/// A text, or the number that a primary key of Django is.
const USER: Schema = Schema::AnyOf(&[Schema::Text, Schema::Whole]);
/// Whole milliseconds, as far as `retry` goes.
pub(super) const MILLISECONDS: Schema = Schema::Between(0, 4_294_967_295);

/// All of them, by name.
pub(super) const ALL: [&Object; 20] = [
    &BATCH_PUBLISHED,
    &CHANNEL_SUMMARY,
    &CHANNELS,
    &ENDED,
    &EVENT,
    &HISTORY,
    &KEPT_EVENT,
    &KICK_CHANNEL,
    &KICK_STREAM,
    &KICK_USER,
    &LINES_PUBLISHED,
    &MISTAKE,
    &PROBLEM,
    &PUBLISHED,
    &RELOADED,
    &RESET,
    &STATS,
    &STREAM_SUMMARY,
    &STREAMS,
    &TAPPED,
];

pub(super) const EVENT: Object = Object {
    name: "Event",
    about: "An event to publish: to `channel`, `channels` or `user`, with `data` unless it only closes.",
    fields: &[
        Field::optional("channel", Schema::OrNull(&CHANNEL), "Where it goes."),
        Field::optional(
            "channels",
            Schema::OrNull(&Schema::List(&CHANNEL, Some(64))),
            "Where it goes, instead of `channel`: at least one. A stream on two of them gets it once.",
        ),
        Field::optional(
            "data",
            Schema::Any,
            "A string is sent as its text, anything else as compact JSON. Needed unless `close` is true.",
        ),
        Field::optional(
            "event",
            Schema::OrNull(&Schema::Text),
            "The name the page listens for; `message` without it. 1 to 1,024 bytes without CR, LF and NUL.",
        ),
        Field::optional(
            "id",
            Schema::OrNull(&Schema::Text),
            "The publisher's own id; the gateway gives one without it. As `event`, and fit for a header.",
        ),
        Field::optional(
            "retry",
            Schema::OrNull(&MILLISECONDS),
            "The pause before a reconnect, in milliseconds.",
        ),
        Field::optional(
            "keep",
            Schema::OrNull(&KEEP),
            "What history retains of it: all events (`all`, the default), the newest of its name, or nothing.",
        ),
        Field::optional(
            "close",
            Schema::OrNull(&Schema::Flag),
            "Whether the streams of its channels end after it.",
        ),
        Field::optional(
            "user",
            Schema::OrNull(&USER),
            "A user whose streams all get it: alone, or beside channels.",
        ),
        Field::optional(
            "except",
            Schema::OrNull(&STREAM),
            "The id of a stream that does not get it.",
        ),
    ],
};

pub(super) const PUBLISHED: Object = Object {
    name: "Published",
    about: "One event is in the log.",
    fields: &[
        Field::needed("id", Schema::Text, "Its id on the wire."),
        Field::needed(
            "streams",
            Schema::Count,
            "Open streams on its channels; 0 is no error.",
        ),
    ],
};

pub(super) const BATCH_PUBLISHED: Object = Object {
    name: "BatchPublished",
    about: "All events of a batch, or of a stream of lines, are in the log.",
    fields: &[
        Field::needed("published", Schema::Count, "How many."),
        Field::needed(
            "last_id",
            Schema::OrNull(&Schema::Text),
            "The id of the last one; null for an empty batch.",
        ),
    ],
};

pub(super) const LINES_PUBLISHED: Object = Object {
    name: "LinesPublished",
    about: "The events of a stream of lines are in the log, and it ended before its body did.",
    fields: &[
        Field::needed("published", Schema::Count, "How many."),
        Field::needed(
            "last_id",
            Schema::OrNull(&Schema::Text),
            "The id of the last one; null if there was none.",
        ),
        Field::needed(
            "stopped",
            Schema::OneOf(&["alone"]),
            "Why: nobody had listened for as long as was asked for.",
        ),
    ],
};

pub(super) const HISTORY: Object = Object {
    name: "History",
    about: "A page of a channel's history, the oldest first.",
    fields: &[
        Field::needed(
            "events",
            Schema::List(&Schema::Of(&KEPT_EVENT), Some(1000)),
            "The events.",
        ),
        Field::needed(
            "next",
            Schema::OrNull(&Schema::Text),
            "What to pass as `after` for the next page; null if there is none now.",
        ),
    ],
};

pub(super) const KEPT_EVENT: Object = Object {
    name: "KeptEvent",
    about: "An event that history holds.",
    fields: &[
        Field::needed("id", Schema::Text, "Its id on the wire."),
        Field::needed("event", Schema::Text, "Its name; `message` if it has none."),
        Field::needed("data", Schema::Text, "Its text, the lines joined by LF."),
        Field::needed("at", Schema::Time, "When it was published, UTC."),
    ],
};

pub(super) const CHANNELS: Object = Object {
    name: "Channels",
    about: "The channels that have streams or events, by name.",
    fields: &[Field::needed(
        "channels",
        Schema::List(&Schema::Of(&CHANNEL_SUMMARY), None),
        "The channels.",
    )],
};

pub(super) const CHANNEL_SUMMARY: Object = Object {
    name: "Channel",
    about: "A channel.",
    fields: &[
        Field::needed("name", CHANNEL, "Its name."),
        Field::needed("streams", Schema::Count, "Open streams on it."),
        Field::needed("events", Schema::Count, "Events that can still be read."),
        Field::needed(
            "last_id",
            Schema::OrNull(&Schema::Text),
            "The newest event's id.",
        ),
        Field::needed(
            "rate",
            Schema::Rate,
            "Events a second over the last minute, as far as they are still there.",
        ),
    ],
};

pub(super) const ENDED: Object = Object {
    name: "Ended",
    about: "Streams were told to end.",
    fields: &[Field::needed("ended", Schema::Count, "How many.")],
};

pub(super) const KICK_USER: Object = Object {
    name: "KickUser",
    about: "The streams of a user.",
    fields: &[Field::needed(
        "user",
        USER,
        "As Django named it in `SSE-User`.",
    )],
};

pub(super) const KICK_CHANNEL: Object = Object {
    name: "KickChannel",
    about: "The streams on a channel.",
    fields: &[Field::needed("channel", CHANNEL, "The channel.")],
};

pub(super) const KICK_STREAM: Object = Object {
    name: "KickStream",
    about: "One stream.",
    fields: &[Field::needed(
        "stream",
        STREAM,
        "Its id, as in `SSE-Stream`.",
    )],
};

pub(super) const STREAMS: Object = Object {
    name: "Streams",
    about: "Open streams, the longest open first.",
    fields: &[Field::needed(
        "streams",
        Schema::List(&Schema::Of(&STREAM_SUMMARY), None),
        "The streams.",
    )],
};

pub(super) const STREAM_SUMMARY: Object = Object {
    name: "Stream",
    about: "An open stream.",
    fields: &[
        Field::needed("id", STREAM, "Its id, as in `SSE-Stream`."),
        Field::needed(
            "user",
            Schema::OrNull(&Schema::Text),
            "Its user; null if nobody named one.",
        ),
        Field::needed("route", Schema::Text, "The route that opened it."),
        Field::needed(
            "channels",
            Schema::List(&CHANNEL, None),
            "The channels it is on, as far as the token allows to see them.",
        ),
        Field::needed("address", Schema::Text, "The client's IP address."),
        Field::needed("since", Schema::Time, "When it began, UTC."),
        Field::needed("sent", Schema::Count, "Events it was given."),
        Field::needed("lag", Schema::Count, "Events that it is still to be given."),
    ],
};

pub(super) const STATS: Object = Object {
    name: "Stats",
    about: "The gateway's numbers.",
    fields: &[
        Field::needed("version", Schema::Text, "The program's version."),
        Field::needed("uptime_seconds", Schema::Count, "Seconds since the start."),
        Field::needed("streams", Schema::Count, "Open streams."),
        Field::needed("channels", Schema::Count, "Channels the log knows."),
        Field::needed("events", Schema::Count, "Events that can still be read."),
        Field::needed("last_id", Schema::Text, "The end of the log."),
    ],
};

pub(super) const TAPPED: Object = Object {
    name: "TappedEvent",
    about: "The data of each event of the tap that is named `event`: one that was published.",
    fields: &[
        Field::needed(
            "channels",
            Schema::List(&CHANNEL, None),
            "The channels it went to, as far as they were asked for and the token allows.",
        ),
        Field::needed(
            "user",
            Schema::OrNull(&Schema::Text),
            "The user it went to.",
        ),
        Field::needed("event", Schema::Text, "Its name; `message` if it has none."),
        Field::needed("id", Schema::Text, "Its id on the wire."),
        Field::needed("data", Schema::Text, "Its text, the lines joined by LF."),
    ],
};

pub(super) const RESET: Object = Object {
    name: "Reset",
    about: "The data of an event of the tap that is named `reset`: events in between were missed.",
    fields: &[Field::needed(
        "reason",
        Schema::OneOf(&["history"]),
        "They have been dropped.",
    )],
};

pub(super) const RELOADED: Object = Object {
    name: "Reloaded",
    about: "What the file says otherwise than before: keys, or the tables they are in.",
    fields: &[
        Field::needed(
            "changed",
            Schema::List(&Schema::Text, None),
            "What is in force now.",
        ),
        Field::needed(
            "restart",
            Schema::List(&Schema::Text, None),
            "What will be in force after a restart only.",
        ),
    ],
};

const MISTAKE: Object = Object {
    name: "Mistake",
    about: "A mistake in the configuration file.",
    fields: &[
        Field::needed("line", Schema::Count, "The line, from 1."),
        Field::needed("column", Schema::Count, "The column, from 1."),
        Field::needed(
            "key",
            Schema::Text,
            "The key; empty for a mistake of TOML itself.",
        ),
        Field::needed("message", Schema::Text, "What is wrong."),
        Field::needed(
            "hint",
            Schema::OrNull(&Schema::Text),
            "What to write instead.",
        ),
    ],
};

pub(super) const PROBLEM: Object = Object {
    name: "Problem",
    about: "A refusal (RFC 9457). `code` never changes; `detail` is for people and may.",
    fields: &[
        Field::needed(
            "type",
            Schema::Text,
            "`urn:tidegate:problem:` and the code.",
        ),
        Field::needed(
            "title",
            Schema::Text,
            "The same for each problem of a code.",
        ),
        Field::needed("status", Schema::Between(400, 599), "The answer's status."),
        Field::needed("detail", Schema::Text, "What went wrong this time."),
        Field::needed("code", Schema::Text, "What went wrong, for programs."),
        Field::optional(
            "pointer",
            Schema::Text,
            "The wrong place in the body, RFC 6901; empty for the whole.",
        ),
        Field::optional(
            "parameter",
            Schema::Text,
            "The wrong parameter of the query.",
        ),
        Field::optional("hint", Schema::Text, "What was probably meant."),
        Field::optional(
            "line",
            Schema::Count,
            "The line that was not taken, of a stream of lines, from 1.",
        ),
        Field::optional(
            "published",
            Schema::Count,
            "How many events of a stream of lines are in the log nevertheless.",
        ),
        Field::optional(
            "file",
            Schema::Text,
            "The configuration file that cannot be taken.",
        ),
        Field::optional(
            "problems",
            Schema::List(&Schema::Of(&MISTAKE), None),
            "All its mistakes, in the order of the file.",
        ),
        Field::needed("request_id", Schema::Text, "The request, for the log."),
    ],
};
