//! Who may listen from where and how often, and heartbeats that are events.

use std::time::Duration;

use super::{SHORT, good, problems};
use crate::config::{RouteKind, show};
use crate::domain::ByteSize;
use crate::history::{self, Reach};
use crate::stream::{Beat, Settings};
use crate::wire::cors::Rules;

/// A file whose only route is public, with these keys.
fn with(route: &str) -> String {
    let sse = format!("sse = {{ channels = [\"a\"], public = true, {route} }}");
    SHORT.replace("proxy = \"django\"", &sse)
}

/// The settings of a public route with these keys under `[sse]` and in the route.
fn stream(defaults: &str, route: &str) -> Settings {
    let config = good(&format!("{}[sse]\n{defaults}\n", with(route)));
    let (entry, _) = config.routes.find("/").unwrap();
    match &entry.target.kind {
        RouteKind::Public { stream, .. } => stream.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_and_a_user_have_limits_unless_the_file_takes_them_away() {
    let most = |settings: Settings| {
        let number = |limit: Option<std::num::NonZeroUsize>| limit.map(std::num::NonZeroUsize::get);
        (number(settings.per_ip), number(settings.per_user))
    };
    assert_eq!(most(stream("", "")), (Some(100), Some(20)));
    assert_eq!(most(stream("per_ip = 0", "per_user = 0")), (None, None));
    assert_eq!(
        most(stream("per_ip = 0", "per_ip = 7")),
        (Some(7), Some(20))
    );
}

#[test]
fn a_route_may_have_another_heartbeat() {
    let beat = |defaults, route| {
        let beat = stream(defaults, route).beat;
        (
            beat.name().map(|name| name.as_str().to_owned()),
            beat.data().to_owned(),
        )
    };
    let named = |name: &str, data: &str| (Some(name.to_owned()), data.to_owned());
    let ping = "heartbeat_event = \"ping\"\nheartbeat_data = \"1\"";
    assert_eq!(stream("", "").beat, Beat::comment());
    assert_eq!(beat(ping, ""), named("ping", "1"));
    assert_eq!(beat(ping, "heartbeat_data = \"\""), named("ping", ""));
    assert_eq!(beat(ping, "heartbeat_event = \"p\""), named("p", "1"));
    assert_eq!(stream(ping, "heartbeat_event = \"\"").beat, Beat::comment());
}

#[test]
fn a_route_may_be_given_less_or_more_of_the_log() {
    let route =
        "history = { events = 9, age = \"1h\" }, client_buffer = \"1MiB\", closed_for = \"0s\"";
    let own = Reach {
        events: 9,
        age: Duration::from_secs(3600),
        lag: ByteSize::mib(1),
        closed_for: Duration::ZERO,
    };
    assert_eq!(stream("", "").reach, Reach::default());
    assert_eq!(stream("", route).reach, own);
    let events = stream("history = { age = \"2h\" }", "history = { events = 5 }").reach;
    assert_eq!(
        (events.events, events.age),
        (5, Duration::from_secs(7200)),
        "key by key"
    );
    // The log keeps what is asked of it most.
    let config = good(&with(route));
    let kept = Reach::default().or_more(own);
    assert_eq!((kept.events, kept.age), (256, own.age));
    let expected = history::Settings::new(ByteSize::mib(256), kept);
    assert_eq!(config.history, expected);
    let shown = show(&config);
    assert!(shown.contains(
        "history = { events = 9, age = \"1h\" }, client_buffer = \"1MiB\", closed_for = \"0s\" }\n"
    ));
    assert!(shown.contains("\nhistory = { events = 256, age = \"10m\" }\n"));
}

#[test]
fn a_route_may_have_other_readers() {
    let rules = |origins: &[&str], credentials| Rules::Listed {
        origins: origins
            .iter()
            .map(|origin| crate::wire::cors::Origin::parse(origin).unwrap())
            .collect(),
        credentials,
    };
    let one = "cors = { origins = [\"https://a\"], credentials = true }";
    assert_eq!(stream("", "").cors, None);
    assert_eq!(stream(one, "").cors, Some(rules(&["https://a"], true)));
    // A route's rules stand in place of the others, they do not add to them.
    let other = "cors = { origins = [\"http://b:8080\"] }";
    assert_eq!(
        stream(one, other).cors,
        Some(rules(&["http://b:8080"], false))
    );
    assert_eq!(
        stream(one, "cors = { origins = [] }").cors,
        Some(rules(&[], false))
    );
    let any = "cors = { origins = [\"*\"], credentials = false }";
    assert_eq!(stream(any, "").cors, Some(Rules::Any));
}

#[test]
fn each_mistake_is_told_at_its_place() {
    let origin = "an origin is a scheme and a host, and a port unless it is the scheme's own (as in \"https://app.example.com\")";
    for (line, expected) in [
        (
            "heartbeat_data = \"x\"",
            "10:18: sse.heartbeat_data: data of a heartbeat that is no event (name the event with `heartbeat_event`)".to_owned(),
        ),
        (
            "heartbeat_event = \"a\\nb\"",
            "10:19: sse.heartbeat_event: \"a\\nb\": must not contain CR, LF or NUL".to_owned(),
        ),
        (
            "heartbeat_event = \"a\\nb\"\nheartbeat_data = \"x\"",
            "10:19: sse.heartbeat_event: \"a\\nb\": must not contain CR, LF or NUL".to_owned(),
        ),
        (
            "cors = { origins = [\"https://a\", \"https://b/\"] }",
            "10:34: sse.cors.origins[1]: \"https://b/\": no browser writes an origin like this (did you mean \"https://b\"?)".to_owned(),
        ),
        (
            "cors = { origins = [\"app.example.com\"] }",
            format!("10:21: sse.cors.origins[0]: \"app.example.com\": {origin}"),
        ),
        (
            "cors = { origins = [\"null\"] }",
            "10:21: sse.cors.origins[0]: \"null\": \"null\" is no origin that could be trusted".to_owned(),
        ),
        (
            "cors = { origins = [\"https://a\", \"*\"], credentials = true }",
            "10:34: sse.cors.origins[1]: \"*\" beside `credentials = true` (name the origins: no browser takes \"*\" with credentials)".to_owned(),
        ),
        (
            "cors = { origins = [\"https://a\", \"*\"] }",
            "10:34: sse.cors.origins[1]: \"*\" beside other origins (\"*\" stands alone)".to_owned(),
        ),
        (
            "cors = { origin = [\"*\"] }",
            "10:10: sse.cors.origin: unknown key \"origin\" (did you mean \"origins\"?)".to_owned(),
        ),
        (
            "cors = {}",
            "10:8: sse.cors.origins: \"origins\" is missing".to_owned(),
        ),
        (
            "cors = [\"*\"]",
            "10:8: sse.cors: expected a table, found a list (write { key = value })".to_owned(),
        ),
    ] {
        assert_eq!(problems(&format!("{SHORT}[sse]\n{line}\n")), [expected], "{line}");
    }
    let long = format!(
        "{SHORT}[sse]\nheartbeat_event = \"a\"\nheartbeat_data = \"{}\"\n",
        "x".repeat(1025)
    );
    assert_eq!(
        problems(&long),
        ["11:18: sse.heartbeat_data: longer than 1024 bytes"]
    );
    good(&long.replacen("xx", "x", 1));
}

#[test]
fn a_route_shows_only_what_it_has_differently() {
    let route = "sse = { channels = [\"a\"], public = true, cors = { origins = [\"*\"] } }";
    let text = SHORT.replace("proxy = \"django\"", route);
    let shown = show(&good(&text));
    let line = "sse = { channels = [\"a\"], public = true, cors = { origins = [\"*\"], credentials = false } }";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
    let shown = show(&good(&format!(
        "{text}[sse]\ncors = {{ origins = [\"*\"] }}\n"
    )));
    assert_eq!(shown.matches("cors = ").count(), 1, "{shown}");
}

#[test]
fn a_rate_has_a_burst() {
    let rate = |limits: &str| {
        let config = good(&format!("{SHORT}[limits]\n{limits}\n"));
        config
            .rate
            .map(|rate| (rate.rate.to_string(), rate.burst.get()))
    };
    assert_eq!(rate(""), None);
    assert_eq!(rate("rate = \"0\"\nburst = 100"), None);
    assert_eq!(rate("rate = \"50/s\""), Some(("50/s".to_owned(), 100)));
    assert_eq!(
        rate("rate = \"50/s\"\nburst = 7"),
        Some(("50/s".to_owned(), 7))
    );
    let rate = |limits: &str| {
        let config = good(&format!("{SHORT}limits = {limits}\n"));
        let (entry, _) = config.routes.find("/").unwrap();
        let rate = entry.target.rate;
        rate.map(|rate| (rate.rate.to_string(), rate.burst.get()))
    };
    assert_eq!(rate("{ rate = \"0\" }"), None);
    assert_eq!(rate("{ rate = \"10/m\" }"), Some(("10/m".to_owned(), 10)));
    assert_eq!(
        rate("{ rate = \"10/m\", burst = 1 }"),
        Some(("10/m".to_owned(), 1))
    );
}

#[test]
fn each_mistake_of_a_rate_is_told_at_its_place() {
    for (line, expected) in [
        (
            "rate = 50",
            "10:8: limits.rate: expected a string, found an integer (write it with its unit, as in \"10/m\")",
        ),
        (
            "rate = \"50\"",
            "10:8: limits.rate: \"50\": a rate is a whole number, a slash and s, m or h, as in \"10/m\"",
        ),
        (
            "burst = 5",
            "10:9: limits.burst: a burst without a `rate` (as in rate = \"10/m\")",
        ),
        (
            "rate = \"1/s\"\nburst = 0",
            "11:9: limits.burst: expected a whole number from 1 to 1000000",
        ),
        (
            "rat = \"1/s\"\nburst = 5",
            "10:1: limits.rat: unknown key \"rat\" (did you mean \"rate\"?)",
        ),
    ] {
        assert_eq!(
            problems(&format!("{SHORT}[limits]\n{line}\n")),
            [expected],
            "{line}"
        );
    }
    let route = format!("{SHORT}limits = {{ burst = 5 }}\n");
    let expected = "9:20: route[0].limits.burst: a burst without a `rate` (as in rate = \"10/m\")";
    assert_eq!(problems(&route), [expected]);
}
