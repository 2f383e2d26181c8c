//! `[redis]`: how it is written, what is told about wrong ones, and that its password stays one.

use super::*;
use crate::wire::redis::Format;

fn with(lines: &str) -> String {
    format!("{SHORT}[redis]\n{lines}")
}

fn rule(lines: &str) -> String {
    with(&format!("url = \"redis://x\"\n[[redis.listen]]\n{lines}"))
}

#[test]
fn rules_have_their_defaults_and_read_back() {
    let text = with(
        r#"url = "redis://gateway:p/${TOKEN}@10.0.0.1,10.0.0.2:7000/0"
[[redis.listen]]
channel = "sse"
format = "django-sse"
[[redis.listen]]
format = "django-eventstream"
[[redis.listen]]
channel = "push:*"
format = "json"
to = "user-{recipient.id}"
"#,
    );
    let config = good(&text);
    let redis = config.redis.as_ref().unwrap();
    let rules = redis.listen.iter();
    let rules: Vec<_> = rules
        .map(|rule| (&*rule.channel, rule.format, rule.to.as_str()))
        .collect();
    let expected = [
        ("sse", Format::DjangoSse, "{channel}"),
        ("events_channel", Format::DjangoEventstream, "{channel}"),
        ("push:*", Format::Json, "user-{recipient.id}"),
    ];
    assert_eq!(rules, expected);
    assert_eq!(redis.max_event, config.publish.max_event);
    let shown = show(&config);
    assert!(shown.contains("url = \"redis://gateway:***@10.0.0.1:6379,10.0.0.2:7000/0\""));
    assert!(!format!("{shown} {config:?}").contains("from-the-environment"));
    assert_eq!(show(&good(&shown)), shown);
    assert!(good(SHORT).redis.is_none() && good(&with("")).redis.is_none());
    assert!(
        good(&with("url = \"unix:///r.sock\""))
            .redis
            .unwrap()
            .listen
            .is_empty()
    );
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let json = "channel = \"c\"\nformat = \"json\"\n";
    let sse = "channel = \"c\"\nformat = \"django-sse\"\n";
    for (text, expected) in [
        (
            with("[[redis.listen]]\nformat = \"django-eventstream\""),
            "9:1: redis.url: \"url\" is missing (as in url = \"redis://127.0.0.1:6379/0\")",
        ),
        (
            with("url = \"${TOKEN}\""),
            "10:7: redis.url: an address of Redis does not begin like this (redis://, rediss:// (TLS), unix:// or redis+unix:// (a socket), redis+sentinel:// or rediss+sentinel://)",
        ),
        (
            with("url = \"redis://u@x\""),
            "10:7: redis.url: there is a user in it, but no password (\"redis://user:password@host\", or \"redis://:password@host\")",
        ),
        (
            with("ulr = \"redis://x\""),
            "10:1: redis.ulr: unknown key \"ulr\" (did you mean \"url\"?)",
        ),
        (
            rule("format = \"json\"\nto = \"x\""),
            "11:1: redis.listen[0].channel: \"channel\" is missing (the name of a channel in Redis, or a pattern with *, ? or [)",
        ),
        (
            rule("channel = \"\"\nformat = \"json\"\nto = \"x\""),
            "12:11: redis.listen[0].channel: a channel has a name (\"*\" is every channel)",
        ),
        (
            rule("channel = \"c\""),
            "11:1: redis.listen[0].format: \"format\" is missing",
        ),
        (
            rule("channel = \"c\"\nformat = \"djangosse\""),
            "13:10: redis.listen[0].format: \"djangosse\" is not known here (did you mean \"django-sse\"?)",
        ),
        (
            rule(json),
            "11:1: redis.listen[0].to: \"to\" is missing (as in to = \"user-{recipient_id}\")",
        ),
        (
            rule(&format!("{json}to = \"user {{id}}\"")),
            "14:11: redis.listen[0].to: a channel name has only letters, digits and _ . : @ / -, not ' '",
        ),
        (
            rule(&format!("{json}to = \"user-{{a..b}}\"")),
            "14:13: redis.listen[0].to: \"a..b\" is no field: letters, digits, \"_\" and \"-\", with dots for what lies deeper",
        ),
        (
            rule(&format!("{sse}to = \"user-{{id}}\"")),
            "14:13: redis.listen[0].to: a message of this format has no field \"id\" (only {channel}; fields are for format = \"json\")",
        ),
        (
            rule("channel = \"a channel\"\nformat = \"django-sse\""),
            "11:1: redis.listen[0].to: a channel name has only letters, digits and _ . : @ / -, not ' ' (set `to`, the channel here)",
        ),
        (
            rule("channel = \"a c\"\nformat = \"django-sse\"\nto = \"x-{channel}\""),
            "14:6: redis.listen[0].to: \"x-a c\": a channel name has only letters, digits and _ . : @ / -, not ' '",
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
    assert_eq!(
        good(&rule(&format!("{json}to = \"all\"")))
            .redis
            .unwrap()
            .listen
            .len(),
        1
    );
}
