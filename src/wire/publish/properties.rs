//! Properties of reading publishes: what holds for any input.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

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
}
