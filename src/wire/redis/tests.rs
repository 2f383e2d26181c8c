//! What the packages write, byte by byte, and what is no message of theirs.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn good(format: Format, payload: &str) -> Message {
    read(format, payload.as_bytes()).unwrap()
}

fn sse(payload: &str) -> (Option<String>, String) {
    let message = good(Format::DjangoSse, payload);
    let data = String::from_utf8(message.data.to_vec()).unwrap();
    (message.name.map(|name| name.as_str().to_owned()), data)
}

fn named(name: &str, data: &str) -> (Option<String>, String) {
    (Some(name.to_owned()), data.to_owned())
}

#[test]
fn a_pair_of_django_sse_is_name_and_data() {
    assert_eq!(sse(r#"["myevent", "mydata"]"#), named("myevent", "mydata"));
    assert_eq!(sse(r#"["e", ["a\nb", "", "c"]]"#), named("e", "a\nb\nc"));
    assert_eq!(sse(r#"[null, "x"]"#), named("None", "x"));
    assert_eq!(sse(r#"[7, "x"]"#), named("7", "x"));
    assert_eq!(sse(r#"[true, ""]"#), named("True", ""));
    assert_eq!(sse(r#"["", "x"]"#), (None, "x".to_owned()));
    // The package fails at these.
    assert_eq!(
        sse(r#"["e", {"b": 1, "a": [1.0]}]"#),
        named("e", r#"{"b": 1, "a": [1.0]}"#)
    );
    assert_eq!(sse(r#"["e", ["a", 1]]"#), named("e", r#"["a", 1]"#));
    assert_eq!(sse(r#"["e", null]"#), named("e", "null"));
}

#[test]
fn lines_end_where_python_ends_them() {
    let text = "a\u{b}b\u{c}c\u{1c}d\u{1d}e\u{1e}f\u{85}g\u{2028}h\u{2029}i\r\nj\rk\n\n l\n";
    let expected = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n\n l";
    let payload = json!(["e", text]).to_string();
    assert_eq!(sse(&payload), named("e", expected));
    assert_eq!(sse(r#"["e", "\u001fa"]"#), named("e", "\u{1f}a"));
}

#[test]
fn an_object_is_its_own_data_and_tells_for_whom_it_is() {
    let text = r#" {"recipient_id": 42, "user": {"id": "x", "n": {"m": -1}}, "f": 1.5, "e": "", "t": true} "#;
    let message = good(Format::Json, text);
    assert_eq!(message.data, text.trim().as_bytes());
    assert_eq!((message.name.clone(), message.id.clone()), (None, None));
    for (name, expected) in [
        ("recipient_id", Some("42")),
        ("user.id", Some("x")),
        ("user.n.m", Some("-1")),
        ("user", None),
        ("user.id.x", None),
        ("f", None),
        ("e", None),
        ("t", None),
        ("nobody", None),
        ("", None),
    ] {
        assert_eq!(message.field(name).as_deref(), expected, "{name}");
    }
}

#[test]
fn an_event_of_django_eventstream_keeps_its_id() {
    let payload = r#"{"channel": "room @1/ü", "event_type": "mes\nsage", "data": "{\"text\": \"hi\"}", "pub_id": "17"}"#;
    let message = good(Format::DjangoEventstream, payload);
    assert_eq!(message.name.as_ref().unwrap().as_str(), "message");
    assert_eq!(message.data, br#"{"text": "hi"}"#.as_slice());
    assert_eq!(
        message.id.as_ref().unwrap().as_str(),
        "room%20%401/%C3%BC:17"
    );
    assert_eq!(message.field("channel").as_deref(), Some("room @1/ü"));
    assert_eq!(message.field("event_type"), None);
    let payload = r#"{"channel": "a", "event_type": null, "data": {"n": 1}, "pub_id": null}"#;
    let message = good(Format::DjangoEventstream, payload);
    assert_eq!(message.name.as_ref().unwrap().as_str(), "None");
    assert_eq!(
        (message.data.as_ref(), message.id),
        (br#"{"n": 1}"#.as_slice(), None)
    );
}

#[test]
fn what_is_no_message_is_told_apart() {
    use Format::{DjangoEventstream, DjangoSse, Json};
    for format in [DjangoSse, Json, DjangoEventstream] {
        assert_eq!(read(format, b"\"\xff\""), Err(Malformed::NotUtf8));
        assert_eq!(read(format, b"{"), Err(Malformed::NotJson));
        assert_eq!(read(format, b""), Err(Malformed::NotJson));
        assert_eq!(read(format, b"1"), Err(Malformed::Shape));
    }
    for (format, payload) in [
        (DjangoSse, r#"["a"]"#),
        (DjangoSse, r#"["a", "b", "c"]"#),
        (DjangoSse, r#"{"a": "b"}"#),
        (DjangoSse, r#"[["a"], "b"]"#),
        (DjangoSse, r#"["a\nid: 1", "b"]"#),
        (Json, "[1]"),
        (DjangoEventstream, r#"{"channel": "a", "data": "b"}"#),
        (
            DjangoEventstream,
            r#"{"channel": 1, "event_type": "a", "data": "b"}"#,
        ),
        (
            DjangoEventstream,
            r#"{"channel": "a", "event_type": "a", "data": "b", "pub_id": []}"#,
        ),
    ] {
        assert_eq!(
            read(format, payload.as_bytes()),
            Err(Malformed::Shape),
            "{payload}"
        );
    }
    for (format, payload) in [
        (Json, r#"{"a": NaN}"#),
        (DjangoSse, r#"["e", "\ud800"]"#),
        (DjangoSse, r#"["e", ["\ud800"]]"#),
        (DjangoSse, r#"["e", {"a": "\ud800"}]"#),
        (
            DjangoEventstream,
            r#"{"channel": "a", "event_type": "a", "data": "\ud800"}"#,
        ),
    ] {
        let found = read(format, payload.as_bytes());
        assert_eq!(found, Err(Malformed::NotJson), "{payload}");
    }
}

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![
        Just(Format::DjangoSse),
        Just(Format::Json),
        Just(Format::DjangoEventstream)
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(format in formats(), payload in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,20}") {
        if let Ok(message) = read(format, &payload) {
            let _field = message.field(&name);
        }
    }

    #[test]
    fn lines_are_the_text_without_its_line_ends(text in "[ab\r\n\u{b}\u{85}\u{2028}é]{0,20}") {
        let lines: Vec<_> = python::lines(&text).collect();
        let kept: String = lines.concat();
        let expected: String = text.chars().filter(|c| matches!(c, 'a' | 'b' | 'é')).collect();
        prop_assert_eq!(kept, expected);
        let (pairs, ends) = (text.matches("\r\n").count(), text.chars().filter(|c| !matches!(c, 'a' | 'b' | 'é')).count());
        let open = usize::from(text.ends_with(['a', 'b', 'é']));
        prop_assert_eq!(lines.len(), ends - pairs + open);
    }
}
