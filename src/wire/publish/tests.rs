//! Tests of reading publishes: every field and every mistake once.

use std::borrow::Cow;

use bytes::Bytes;

use super::*;
use crate::domain::{ChannelName, Keep};

const LIMITS: Limits = Limits {
    max_event: 1000,
    max_batch: 4,
};

fn one(body: &str) -> Event {
    match read(body.as_bytes(), LIMITS) {
        Ok(Publish::One(event)) => event,
        other => panic!("{body}: {other:?}"),
    }
}

fn data(body: &str) -> String {
    let data = one(body).data.expect("data");
    String::from_utf8(data.to_vec()).expect("UTF-8")
}

/// The status, the pointer, the detail and the hint of the problem that `body` makes.
fn problem(body: impl AsRef<[u8]>) -> (u16, Option<String>, String, Option<String>) {
    match read(body.as_ref(), LIMITS) {
        Err(rejected) => {
            let problem = Problem::from(rejected);
            let status = problem.status.as_u16();
            (status, problem.pointer, problem.detail, problem.hint)
        }
        Ok(publish) => panic!("{publish:?}"),
    }
}

#[test]
fn every_field_is_read() {
    let event = one(
        r#" {"channels": ["a", "b/c", "a"], "event": "tick", "data": "x", "id": "7-z", "retry": 4294967295,
            "close": true, "except": "000000000000000000000000000000ff", "keep": "last", "user": "42"} "#,
    );
    let channels: Vec<_> = event.channels.iter().map(ChannelName::as_str).collect();
    assert_eq!(channels, ["a", "b/c", "~42"]);
    assert_eq!(event.keep, Keep::Last);
    assert_eq!(event.name.unwrap().as_str(), "tick");
    assert_eq!(event.data.unwrap(), "x");
    assert_eq!(event.id.unwrap().as_str(), "7-z");
    assert_eq!(event.retry.unwrap().0, u32::MAX);
    assert!(event.close);
    assert_eq!(event.except.unwrap().to_string(), format!("{:032x}", 255));
}

#[test]
fn null_is_as_good_as_nothing() {
    let event = one(
        r#"{"channel":"a","channels":null,"event":null,"data":"","id":null,"retry":null,"close":null,"except":null,"keep":null}"#,
    );
    assert_eq!(event, one(r#"{"channel":"a","data":""}"#));
    assert_eq!(event.data, Some(Bytes::new()));
    assert_eq!(data(r#"{"channel":"a","data":null}"#), "null");
}

#[test]
fn a_close_needs_no_data() {
    assert_eq!(one(r#"{"channel":"a","close":true}"#).data, None);
    let message = "\"data\" is missing; only \"close\": true goes without it";
    for body in [r#"{"channel":"a"}"#, r#"{"channel":"a","close":false}"#] {
        assert_eq!(
            problem(body),
            (422, Some(String::new()), message.into(), None)
        );
    }
}

#[test]
fn data_is_text_or_compact_json_as_written() {
    for (given, sent) in [
        (r#""a\nb\u00e9\"""#, "a\nbé\""),
        (r#""""#, ""),
        ("1.50e+03", "1.50e+03"),
        (
            "12345678901234567890123456789",
            "12345678901234567890123456789",
        ),
        ("[ 1 ,\t{ } ,\r\n[ ] ]", "[1,{},[]]"),
        (
            r#"{ "z" : 1, "a" : " \" \\" , "z" : [true, null] }"#,
            r#"{"z":1,"a":" \" \\","z":[true,null]}"#,
        ),
        (r#"["\ud800", "é\/"]"#, r#"["\ud800","é\/"]"#),
    ] {
        assert_eq!(
            data(&format!(r#"{{"channel":"a","data": {given} }}"#)),
            sent
        );
    }
}

#[test]
fn wrong_fields_are_named() {
    for (field, pointer) in [
        (r#""event":"a\nb""#, "/event"),
        (r#""event":"a\rb""#, "/event"),
        (r#""event":"""#, "/event"),
        (r#""event":5"#, "/event"),
        (r#""id":"a\u0000b""#, "/id"),
        (r#""id":"""#, "/id"),
        (r#""id":7"#, "/id"),
        (r#""retry":-1"#, "/retry"),
        (r#""retry":1.0"#, "/retry"),
        (r#""retry":4294967296"#, "/retry"),
        (r#""retry":"5""#, "/retry"),
        (r#""close":1"#, "/close"),
        (r#""except":"0F""#, "/except"),
        (r#""keep":"some""#, "/keep"),
        (r#""keep":"Last""#, "/keep"),
        (r#""keep":1"#, "/keep"),
        (r#""user":"""#, "/user"),
        (r#""user":"a\nb""#, "/user"),
        (r#""user":1.0"#, "/user"),
        (r#""user":1e3"#, "/user"),
        (r#""user":true"#, "/user"),
        (r#""user":["a"]"#, "/user"),
        (r#""channels":["b"]"#, "/channels"),
        (r#""data":2"#, "/data"),
        (r#""a/b~c":2"#, "/a~1b~0c"),
        (r#""\ud800":2"#, ""),
    ] {
        let body = format!(r#"{{"channel":"a","data":1,{field}}}"#);
        let (status, found, ..) = problem(&body);
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{body}");
    }
    let lone = r#"{"channel":"a","data":"\udc00"}"#;
    assert_eq!(problem(lone).1.unwrap(), "/data");
}

#[test]
fn channels_are_checked() {
    let many = format!(r#"{{"channels":{:?},"data":1}}"#, vec!["a"; 65]);
    for (body, pointer) in [
        (r#"{"data":1}"#, ""),
        (r#"{"channel":"","data":1}"#, "/channel"),
        (r#"{"channel":"a b","data":1}"#, "/channel"),
        (r#"{"channel":["a"],"data":1}"#, "/channel"),
        (r#"{"channels":[],"data":1}"#, "/channels"),
        (r#"{"channels":"a","data":1}"#, "/channels"),
        (r#"{"channels":["a",5],"data":1}"#, "/channels/1"),
        (r#"{"channels":["a","b","ä"],"data":1}"#, "/channels/2"),
        (many.as_str(), "/channels"),
    ] {
        let (status, found, ..) = problem(body);
        assert_eq!((status, found.as_deref()), (422, Some(pointer)), "{body}");
    }
    let full = format!(r#"{{"channels":{:?},"data":1}}"#, vec!["a"; 64]);
    assert_eq!(one(&full).channels.len(), 1);
}

#[test]
fn a_user_stands_alone_or_beside_channels() {
    let channels = |body: &str| -> Vec<String> {
        let event = one(body);
        event.channels.iter().map(ToString::to_string).collect()
    };
    assert_eq!(channels(r#"{"user":42,"data":1}"#), ["~42"]);
    assert_eq!(channels(r#"{"user":"42","data":1}"#), ["~42"]);
    assert_eq!(channels(r#"{"user":-7,"data":1}"#), ["~-7"]);
    assert_eq!(
        channels(r#"{"user":"ä b","channel":"a","data":1}"#),
        ["a", "~ä b"]
    );
    let long = "9".repeat(200);
    assert_eq!(
        channels(&format!(r#"{{"user":{long},"data":1}}"#)),
        [format!("~{long}")]
    );
    let (status, pointer, ..) = problem(format!(r#"{{"user":{long}9,"data":1}}"#));
    assert_eq!((status, pointer.as_deref()), (422, Some("/user")));
    assert_eq!(
        problem(r#"{"channel":"~42","data":1}"#).1.unwrap(),
        "/channel"
    );
    for (keep, kept) in [
        ("all", Keep::All),
        ("last", Keep::Last),
        ("none", Keep::None),
    ] {
        let body = format!(r#"{{"channel":"a","data":1,"keep":"{keep}"}}"#);
        assert_eq!(one(&body).keep, kept);
    }
}

#[test]
fn a_near_miss_is_explained() {
    for (name, meant) in [
        ("chanel", Some("channel")),
        ("Data", Some("data")),
        ("chanels", Some("channels")),
        ("exept", Some("except")),
        ("payload", None),
        ("x", None),
    ] {
        let (status, pointer, detail, hint) = problem(format!(r#"{{"{name}":1}}"#));
        assert_eq!((status, pointer), (422, Some(format!("/{name}"))));
        assert_eq!(
            detail,
            format!("/{name}: \"{name}\" is no field of an event")
        );
        assert_eq!(hint, meant.map(|m| format!("did you mean \"{m}\"?")));
    }
    let long = "é".repeat(5000);
    let (_, pointer, detail, _) = problem(format!(r#"[{{"{long}":1}}]"#));
    assert_eq!(pointer.unwrap(), "/0");
    assert!(detail.len() < 200, "{detail}");
}

#[test]
fn what_is_no_json_is_told_by_its_place() {
    for (body, place) in [
        (&b""[..], "line 1, column 0: EOF while parsing a value"),
        (b"{", "line 1, column 1: EOF while parsing an object"),
        (b"{} x", "line 1, column 4: trailing characters"),
        (b"[1,\n 01]", "line 2, column 3: invalid number"),
        (b"\n\"\xff\"", "line 2, column 2: not UTF-8"),
        (b"\xff", "line 1, column 1: not UTF-8"),
    ] {
        let (status, pointer, detail, _) = problem(body);
        assert_eq!((status, pointer, detail.as_str()), (400, None, place));
    }
    for body in ["1", "\"x\"", "null", "true", "[1]", "[[]]"] {
        assert_eq!(problem(body).0, 422, "{body}");
    }
}

#[test]
fn a_batch_is_all_or_nothing() {
    assert_eq!(read(b" [ ] ", LIMITS), Ok(Publish::Batch(Vec::new())));
    let good = r#"{"channel":"a","data":1}"#;
    let batch = format!("[{good},{good},{good},{good}]");
    let Ok(Publish::Batch(events)) = read(batch.as_bytes(), LIMITS) else {
        panic!("{batch}");
    };
    assert_eq!(events.len(), 4);
    let (_, pointer, ..) = problem(format!(r#"[{good},{{"channel":"a b","data":1}}]"#));
    assert_eq!(pointer.unwrap(), "/1/channel");
    let (status, pointer, detail, _) = problem(format!("[{good},{good},{good},{good},{good}, 1]"));
    assert_eq!((status, pointer.as_deref()), (413, Some("")));
    assert_eq!(detail, "a batch has at most 4 events");
}

#[test]
fn data_has_a_limit() {
    let body = |len: usize| format!(r#"[{{"channel":"a","data":"{}"}}]"#, "x".repeat(len));
    assert!(read(body(1000).as_bytes(), LIMITS).is_ok());
    let (status, pointer, ..) = problem(body(1001));
    assert_eq!((status, pointer.as_deref()), (413, Some("/0/data")));
    let spaces = format!(r#"{{"channel":"a","data":[{}]}}"#, " ".repeat(5000));
    assert_eq!(data(&spaces), "[]");
}

fn query(query: &[(&'static str, &'static str)], body: &'static [u8]) -> Result<Event, Rejected> {
    let pairs = query
        .iter()
        .map(|&(k, v)| (Cow::Borrowed(k), Cow::Borrowed(v)));
    let channel = ChannelName::parse("a").expect("a name");
    from_query(channel, pairs, Bytes::from_static(body), 10)
}

#[test]
fn a_query_carries_the_other_fields() {
    let except = "000000000000000000000000000000ff";
    let pairs = [
        ("event", "tick"),
        ("id", "7"),
        ("retry", "50"),
        ("close", "1"),
        ("except", except),
        ("keep", "none"),
        ("user", "42"),
    ];
    let same = format!(
        r#"{{"channel":"a","event":"tick","id":"7","retry":50,"close":true,"except":"{except}","keep":"none","user":42,"data":"{{\"x\": 1}}"}}"#
    );
    assert_eq!(query(&pairs, br#"{"x": 1}"#), Ok(one(&same)));
    assert_eq!(query(&[], b"").unwrap().data, Some(Bytes::new()));
    assert_eq!(query(&[("close", "true")], b"").unwrap().data, None);
    let open = query(&[("close", "0")], b"").unwrap();
    assert_eq!((open.data, open.close), (Some(Bytes::new()), false));
}

#[test]
fn a_wrong_parameter_is_named() {
    for (pairs, name, hint) in [
        (
            &[("evnt", "x")][..],
            "evnt",
            Some("did you mean \"event\"?"),
        ),
        (&[("data", "x")], "data", None),
        (&[("event", "")], "event", None),
        (&[("id", "a\nb")], "id", None),
        (&[("retry", "+5")], "retry", None),
        (&[("retry", "")], "retry", None),
        (&[("close", "")], "close", None),
        (&[("except", "5")], "except", None),
        (&[("keep", "")], "keep", None),
        (&[("user", "")], "user", None),
        (&[("user", "a\0")], "user", None),
        (&[("user", "5"), ("user", "5")], "user", None),
        (&[("channel", "b")], "channel", None),
        (&[("close", "1"), ("close", "1")], "close", None),
    ] {
        let problem = Problem::from(query(pairs, b"x").unwrap_err());
        assert_eq!(problem.status.as_u16(), 422);
        assert_eq!(problem.parameter.as_deref(), Some(name));
        assert_eq!(problem.hint.as_deref(), hint);
    }
    let binary = Problem::from(query(&[], b"ab\xff").unwrap_err());
    assert_eq!(binary.detail, "/data: not UTF-8 from byte 3 on");
    let long = Problem::from(query(&[], b"01234567890").unwrap_err());
    assert_eq!(long.status.as_u16(), 413);
}

#[test]
fn answers_are_json() {
    assert_eq!(
        published_one("3f2a-1042", 3),
        r#"{"id":"3f2a-1042","streams":3}"#
    );
    assert_eq!(published_one("a\"b", 0), r#"{"id":"a\"b","streams":0}"#);
    assert_eq!(
        published_batch(120, Some("x")),
        r#"{"published":120,"last_id":"x"}"#
    );
    assert_eq!(
        published_batch(0, None),
        r#"{"published":0,"last_id":null}"#
    );
}
