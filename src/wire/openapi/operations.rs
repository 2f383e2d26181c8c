//! The table: everything that an internal listener answers to.

use super::objects::{
    BATCH_PUBLISHED, CHANNELS, ENDED, EVENT, HISTORY, KEEP, KICK_CHANNEL, KICK_STREAM, KICK_USER,
    LINES_PUBLISHED, MILLISECONDS, PUBLISHED, RELOADED, STATS, STREAM, STREAMS,
};
use super::schema::Schema;
use super::{Access, Answer, Body, Content, HERE, METRICS, Operation, Parameter, Verb};
use crate::wire::problem::Problem;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html";
const OPEN_METRICS: &str = "application/openmetrics-text";
const LINES: &str = "application/x-ndjson";
const PATTERN: Schema = Schema::Form("^[A-Za-z0-9_.:@/*-]{1,200}$");

/// What each operation begins as.
const fn on(verb: Verb, path: &'static str, id: &'static str, about: &'static str) -> Operation {
    Operation {
        verb,
        path,
        id,
        about,
        access: Access::Token,
        parameters: &[],
        headers: &[],
        body: None,
        answers: &[],
        problems: &[],
    }
}

const fn once(name: &'static str, schema: Schema, about: &'static str) -> Parameter {
    Parameter {
        name,
        about,
        schema,
        repeats: false,
    }
}

const fn often(name: &'static str, schema: Schema, about: &'static str) -> Parameter {
    Parameter {
        name,
        about,
        schema,
        repeats: true,
    }
}

const fn good(content: Content, about: &'static str) -> Answer {
    Answer {
        status: 200,
        about,
        content,
        header: None,
    }
}

const IDEMPOTENCY_KEY: Parameter = once(
    "Idempotency-Key",
    Schema::Form("^[!-~]{1,255}$"),
    "A name for this request: sent again, it gets the same answer and publishes nothing. Without it a `webhook-id` counts. \
     Not for a stream of lines.",
);
const REPLAYED: Parameter = once(
    "Idempotency-Replayed",
    Schema::OneOf(&["true"]),
    "This was answered before, and nothing was published now.",
);
const READY_ANSWERS: [Answer; 2] = [
    good(
        &[(TEXT, Schema::OneOf(&["ready\n"]))],
        "Requests are welcome.",
    ),
    Answer {
        status: 503,
        about: "The gateway begins or ends.",
        content: &[(TEXT, Schema::OneOf(&["not ready\n"]))],
        header: None,
    },
];

const HERE_ANSWERS: [Answer; 2] = [
    good(
        &[(HTML, Schema::Text)],
        "The page. It shows nothing by itself: it asks what is here, with the token it is given.",
    ),
    Answer {
        status: 304,
        about: "The console is as `If-None-Match` knows it.",
        content: &[],
        header: None,
    },
];

const BAD_ITEMS: Answer = Answer {
    status: 400,
    about: "Nothing is taken; why, in one line.",
    content: &[(TEXT, Schema::Text)],
    header: None,
};
const NOT_ACCEPTABLE: Answer = Answer {
    status: 406,
    about: "`Accept` names neither text nor JSON.",
    content: &[(TEXT, Schema::Text)],
    header: None,
};

/// Every operation, by path.
pub static OPERATIONS: [Operation; 18] = [
    Operation {
        access: Access::All,
        answers: &HERE_ANSWERS,
        ..on(Verb::Get, HERE, "here", "The console")
    },
    Operation {
        body: Some(Body {
            about: "`{\"items\": […]}`, all or nothing.",
            content: &[(JSON, Schema::Any)],
        }),
        answers: &[
            good(
                &[(TEXT, Schema::OneOf(&["Published\n"])), (JSON, Schema::Any)],
                "The items are taken.",
            ),
            BAD_ITEMS,
            NOT_ACCEPTABLE,
        ],
        problems: &[Problem::too_many_requests],
        ..on(
            Verb::Post,
            "/publish/",
            "publishItems",
            "Publish items in the way of GRIP; the key of an upstream, or a JWT signed with it, is as good as a token for its channels",
        )
    },
    Operation {
        answers: &[
            good(
                &[(TEXT, Schema::OneOf(&["Updated\n"])), (JSON, Schema::Any)],
                "All are about to ask.",
            ),
            NOT_ACCEPTABLE,
        ],
        ..on(
            Verb::Post,
            "/recover/",
            "recover",
            "Have all requests that are held in the way of GRIP ask Django anew",
        )
    },
    Operation {
        access: Access::All,
        answers: &[good(&[(TEXT, Schema::OneOf(&["ok\n"]))], "It is.")],
        ..on(
            Verb::Get,
            "/healthz",
            "health",
            "Whether the process is there",
        )
    },
    Operation {
        access: Access::All,
        answers: &READY_ANSWERS,
        ..on(
            Verb::Get,
            "/readyz",
            "ready",
            "Whether requests are welcome",
        )
    },
    Operation {
        access: Access::NoPage,
        answers: &[good(
            &[(TEXT, Schema::Text), (OPEN_METRICS, Schema::Text)],
            "Metrics, or OpenMetrics if that is accepted.",
        )],
        ..on(Verb::Get, METRICS, "metrics", "The metrics")
    },
    Operation {
        answers: &[good(&[(JSON, Schema::Any)], "OpenAPI 3.1.")],
        problems: &[Problem::invalid_parameter],
        ..on(Verb::Get, "/openapi.json", "openapi", "This document")
    },
    Operation {
        access: Access::Signed,
        parameters: &[once(
            "stop_when_alone",
            Schema::Text,
            "For a stream of lines: it ends when nobody has listened for so long, such as `30s`; at least `1s`.",
        )],
        headers: &[IDEMPOTENCY_KEY],
        body: Some(Body {
            about: "An event, or a batch of them, all or nothing; or a stream of lines, each an event that is published \
                    as it comes.",
            content: &[
                (
                    JSON,
                    Schema::AnyOf(&[
                        Schema::Of(&EVENT),
                        Schema::List(&Schema::Of(&EVENT), Some(10_000)),
                    ]),
                ),
                (LINES, Schema::Text),
            ],
        }),
        answers: &[Answer {
            header: Some(&REPLAYED),
            ..good(
                &[(
                    JSON,
                    Schema::AnyOf(&[
                        Schema::Of(&PUBLISHED),
                        Schema::Of(&BATCH_PUBLISHED),
                        Schema::Of(&LINES_PUBLISHED),
                    ]),
                )],
                "The events are in the log.",
            )
        }],
        problems: &[
            Problem::bad_json,
            Problem::bad_request,
            Problem::request_timeout,
            Problem::idempotency_conflict,
            Problem::idempotency_in_progress,
            Problem::too_large,
            Problem::unsupported_media_type,
            Problem::invalid_field,
            Problem::invalid_parameter,
            Problem::too_many_requests,
            |_| Problem::stopping(),
        ],
        ..on(
            Verb::Post,
            "/v1/events",
            "publish",
            "Publish an event or a batch",
        )
    },
    Operation {
        parameters: &[once(
            "match",
            PATTERN,
            "Only channels that fit; `*` is any run of characters.",
        )],
        answers: &[good(
            &[(JSON, Schema::Of(&CHANNELS))],
            "The channels the token allows.",
        )],
        problems: &[Problem::invalid_parameter],
        ..on(
            Verb::Get,
            "/v1/channels",
            "channels",
            "The channels that have streams or events",
        )
    },
    Operation {
        answers: &[good(
            &[(JSON, Schema::Of(&ENDED))],
            "Its history is gone; so many streams end.",
        )],
        problems: &[Problem::invalid_parameter],
        ..on(
            Verb::Delete,
            "/v1/channels/{channel}",
            "deleteChannel",
            "End a channel's streams and forget its history",
        )
    },
    Operation {
        parameters: &[
            once(
                "after",
                Schema::Text,
                "Only events after the one of this id, the gateway's or the publisher's own.",
            ),
            once(
                "limit",
                Schema::Between(1, 1000),
                "At most so many events; 100 without it. A page also ends at 1 MiB.",
            ),
        ],
        answers: &[good(
            &[(JSON, Schema::Of(&HISTORY))],
            "Events, the oldest first.",
        )],
        problems: &[Problem::invalid_parameter, Problem::gone],
        ..on(
            Verb::Get,
            "/v1/channels/{channel}/events",
            "history",
            "The events of a channel that history holds",
        )
    },
    Operation {
        access: Access::Signed,
        headers: &[IDEMPOTENCY_KEY],
        parameters: &[
            once("event", Schema::Text, "Its name."),
            once("id", Schema::Text, "The publisher's own id."),
            once(
                "retry",
                MILLISECONDS,
                "The pause before a reconnect, in milliseconds.",
            ),
            once(
                "keep",
                KEEP,
                "What history retains of it; `all` without it.",
            ),
            once(
                "close",
                Schema::OneOf(&["1", "true", "0", "false"]),
                "Whether the channel's streams end after it.",
            ),
            once(
                "user",
                Schema::Text,
                "A user whose streams all get it, beside the channel.",
            ),
            once("except", STREAM, "The id of a stream that does not get it."),
        ],
        body: Some(Body {
            about: "The data as it is, UTF-8. Empty data with `close` is none.",
            content: &[("*/*", Schema::Text)],
        }),
        answers: &[Answer {
            header: Some(&REPLAYED),
            ..good(
                &[(JSON, Schema::Of(&PUBLISHED))],
                "The event is in the log.",
            )
        }],
        problems: &[
            Problem::bad_request,
            Problem::idempotency_conflict,
            Problem::idempotency_in_progress,
            Problem::too_large,
            Problem::unsupported_media_type,
            Problem::invalid_parameter,
            Problem::too_many_requests,
        ],
        ..on(
            Verb::Post,
            "/v1/channels/{channel}/events",
            "publishData",
            "Publish the body as the data of an event",
        )
    },
    Operation {
        answers: &[good(
            &[(JSON, Schema::Of(&STREAMS))],
            "The open streams on the channel.",
        )],
        problems: &[Problem::invalid_parameter],
        ..on(
            Verb::Get,
            "/v1/channels/{channel}/streams",
            "presence",
            "Who is on a channel",
        )
    },
    Operation {
        body: Some(Body {
            about: "Whose streams: a user's, a channel's, or one. At most 4 KiB.",
            content: &[(
                JSON,
                Schema::AnyOf(&[
                    Schema::Of(&KICK_USER),
                    Schema::Of(&KICK_CHANNEL),
                    Schema::Of(&KICK_STREAM),
                ]),
            )],
        }),
        answers: &[good(&[(JSON, Schema::Of(&ENDED))], "So many streams end.")],
        problems: &[
            Problem::bad_json,
            Problem::bad_request,
            Problem::too_large,
            Problem::unsupported_media_type,
            Problem::invalid_field,
            Problem::invalid_parameter,
        ],
        ..on(
            Verb::Post,
            "/v1/kick",
            "kick",
            "End streams, also those about to open with a permission from before",
        )
    },
    Operation {
        parameters: &[
            once("user", Schema::Text, "Only streams of this user."),
            often("channel", PATTERN, "Only streams on a channel that fits."),
            once(
                "route",
                Schema::Text,
                "Only streams that this route opened.",
            ),
            once(
                "limit",
                Schema::Between(1, u32::MAX as u64),
                "At most so many; all without it.",
            ),
        ],
        answers: &[good(&[(JSON, Schema::Of(&STREAMS))], "The open streams.")],
        problems: &[Problem::invalid_parameter],
        ..on(
            Verb::Get,
            "/v1/streams",
            "streams",
            "The open streams; needs a token that is good for all channels",
        )
    },
    Operation {
        answers: &[good(
            &[(JSON, Schema::Of(&RELOADED))],
            "The file is in force, as far as it can be without a restart.",
        )],
        problems: &[
            Problem::invalid_parameter,
            Problem::bad_configuration,
            |_| Problem::stopping(),
        ],
        ..on(
            Verb::Post,
            "/v1/reload",
            "reload",
            "Read the configuration file anew; one with mistakes changes nothing. Needs a token that is good for all channels",
        )
    },
    Operation {
        answers: &[good(&[(JSON, Schema::Of(&STATS))], "The numbers.")],
        problems: &[Problem::invalid_parameter],
        ..on(Verb::Get, "/v1/stats", "stats", "The gateway's numbers")
    },
    Operation {
        parameters: &[
            often("channel", PATTERN, "Only events of channels that fit."),
            often(
                "event",
                Schema::Text,
                "Only events of this name; `message` is also that of those without one.",
            ),
        ],
        answers: &[good(
            &[("text/event-stream", Schema::Text)],
            "An event named `event` for each that is published, its data a `TappedEvent`; `reset`, its data a `Reset`, where some were missed.",
        )],
        problems: &[Problem::invalid_parameter, Problem::too_many_requests],
        ..on(
            Verb::Get,
            "/v1/tap",
            "tap",
            "What is published from now on, as an event stream",
        )
    },
];
