//! Properties of GRIP's readers: what holds for any input.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NAMES: [&str; 9] = [
    "grip-hold",
    "grip-channel",
    "grip-timeout",
    "grip-keep-alive",
    "grip-link",
    "grip-status",
    "grip-set-meta",
    "grip-expose-headers",
    "content-type",
];

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}

proptest! {
    #[test]
    fn any_headers_are_read_without_a_panic(
        lines in prop::collection::vec((0..NAMES.len(), prop::collection::vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let _of_headers = Instruct::of_headers(&headers);
        let _of_body = Instruct::of_body(&headers, b"{}");
    }

    #[test]
    fn what_looks_like_parameters_is_read_without_a_panic(value in r#"[a<>;,="\\ ]{0,30}"#) {
        for name in &NAMES[..8] {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            if let Ok(instruct) = Instruct::of_headers(&headers) {
                prop_assert!(instruct.channels.iter().all(|channel| !channel.name.is_empty()));
            }
        }
    }

    #[test]
    fn a_quoted_value_comes_through(
        name in "[a-z][a-z0-9_-]{0,8}",
        value in "[ -~äß]{0,40}",
        id in "[ -~]{0,20}",
    ) {
        let mut headers = HeaderMap::new();
        let meta = format!("{name}={}, z_z={}", quoted(&value), quoted("x"));
        headers.append("grip-set-meta", HeaderValue::from_bytes(meta.as_bytes()).unwrap());
        let channel = format!("c; prev-id={}, d", quoted(&id));
        headers.append("grip-channel", HeaderValue::from_str(&channel).unwrap());
        let instruct = Instruct::of_headers(&headers).unwrap();
        prop_assert_eq!(&*instruct.meta[0].1, value);
        prop_assert_eq!(instruct.channels[0].prev_id.as_deref(), Some(&*id));
        prop_assert_eq!(instruct.channels.len(), 2);
    }

    #[test]
    fn any_bytes_are_a_publish_or_an_error(body in any::<Vec<u8>>()) {
        let _items = read(&body);
        let _instruct = Instruct::of_body(&HeaderMap::new(), &body);
    }

    #[test]
    fn a_published_item_is_found_in_the_log(
        channel in "[a-zA-Z0-9_%ä-]{1,20}",
        id in prop::option::of("[ -~]{0,9}"),
        prev_id in prop::option::of("[ -~]{0,9}"),
        content in any::<String>(),
        meta in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        filters in prop::option::of(prop::collection::vec(any::<String>(), 0..3)),
        no_seq in any::<bool>(),
    ) {
        let body = json!({"items": [{
            "channel": channel, "id": id, "prev-id": prev_id, "meta": meta, "no-seq": no_seq,
            "http-stream": {"content": content, "content-filters": filters},
            "formats": {"http-response": {"body": content, "headers": {"a": "b"}}},
        }]});
        let items = read(body.to_string().as_bytes()).unwrap();
        let frame = items[0].frame(7);
        let stored = Stored::read(&frame).unwrap();
        prop_assert_eq!(stored.channel, channel);
        prop_assert_eq!(stored.id, id.as_deref());
        prop_assert_eq!(stored.prev_id, prev_id.as_deref());
        prop_assert_eq!(stored.no_seq, no_seq);
        for (name, value) in &meta {
            prop_assert_eq!(stored.meta(name), Some(value.as_str()));
        }
        let stream = stored.stream.unwrap();
        let bytes = content.as_bytes();
        prop_assert_eq!(stream.content(), bytes);
        let sent = stream.content_frame(&frame);
        prop_assert_eq!(sent.as_bytes(), bytes);
        let told = stream.content_filters().map(|names| names.map(ToOwned::to_owned).collect());
        prop_assert_eq!(told, filters);
        prop_assert_eq!(stored.response(), items[0].response.clone());
    }

    #[test]
    fn a_patch_of_a_whole_is_the_new_whole(old in "[a-z0-9]{0,8}", new in "[a-z0-9]{0,8}") {
        let patch = json!([{"op": "replace", "path": "/a", "value": new}]).to_string();
        let body = json!({"a": old}).to_string();
        let out = patch::apply(body.as_bytes(), patch.as_bytes()).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), json!({"a": new}));
    }
}
