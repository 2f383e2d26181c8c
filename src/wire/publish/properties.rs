//! Properties of reading publishes: what holds for any input.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Epoch, EventId, Position};
use crate::wire::sse::{self, Parsed, Parser};

/// Any JSON value that is no string.
fn structures() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ];
    let texts = any::<String>().prop_map(Value::from);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let inner = prop_oneof![inner, texts.clone()].boxed();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

const ROOM: Limits = Limits {
    max_event: usize::MAX,
    max_batch: 100,
};

fn data_in(body: &str) -> Bytes {
    match read(body.as_bytes(), ROOM) {
        Ok(Publish::One(event)) => event.data.expect("data"),
        other => panic!("{body}: {other:?}"),
    }
}

/// What a listener reads of the event that `body` publishes, however the network cuts it.
fn received(body: &Value, cut: usize) -> Vec<Parsed> {
    let text = serde_json::to_string_pretty(body).expect("a value is JSON");
    let Ok(Publish::One(event)) = read(text.as_bytes(), ROOM) else {
        panic!("{text}");
    };
    let own = EventId {
        epoch: Epoch::from_random(1),
        position: Position::after(1),
    };
    let frame = sse::event(&event, own).to_bytes();
    let mut parser = Parser::new(usize::MAX);
    let pieces = frame.chunks(cut);
    pieces
        .flat_map(|piece| parser.feed(piece).expect("no limit"))
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in any::<Vec<u8>>()) {
        let _publish = read(&body, ROOM);
    }

    #[test]
    fn anything_that_looks_like_json_is_read_without_a_panic(
        body in r#"[\[\]{},:"\\ \nu0-9a-f]{0,40}|\{("(channel|channels|data|id|keep)":("a"|\["a"\]|[0-9]|null|"\\u[d8c0]{4}"),?){0,4}\}?"#,
    ) {
        if let Err(rejected) = read(body.as_bytes(), ROOM) {
            let json = Problem::from(rejected).to_json();
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
    }

    #[test]
    fn a_text_is_sent_as_it_is(text in any::<String>()) {
        let body = json!({"channel": "a", "data": text}).to_string();
        prop_assert_eq!(data_in(&body), text.as_bytes());
    }

    #[test]
    fn compaction_changes_nothing_but_white_space(value in structures()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let data = data_in(&format!("{{\"channel\":\"a\",\"data\":\n{pretty}\t}}"));
        prop_assert_eq!(&data, &serde_json::to_vec(&value).unwrap());
        let again = data_in(&format!("{{\"channel\":\"a\",\"data\":{}}}", std::str::from_utf8(&data).unwrap()));
        prop_assert_eq!(again, data);
    }

    #[test]
    fn json_reaches_the_listener_as_it_is(value in structures(), cut in 1_usize..50) {
        let events = received(&json!({"channel": "a", "data": value}), cut);
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(&events[0].data, &value.to_string());
    }

    #[test]
    fn a_text_reaches_the_listener_but_for_the_kind_of_its_line_ends(
        text in "(.|\r|\n|\0|data:|id: |event: | ){0,40}",
        name in "[^\r\n\0]{1,20}",
        id in "[!-~ä-ü][ -~ä-ü]{0,18}[!-~ä-ü]",
        cut in 1_usize..50,
    ) {
        let events = received(&json!({"channel": "a", "data": text, "event": name, "id": id}), cut);
        let data = text.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(events, [Parsed { event: name, data, id, has_id: true, retry: None }]);
    }
}
