//! The body of GRIP's `/publish/`: what is accepted is what a plain JSON reader sees, and is found again in the log.

use serde_json::Value;
use tidegate::domain::Frame;
use tidegate::wire::grip::{Action, Body, Item, Stored, patch, read};

/// No answer to a bad body is longer: it never carries the body back.
const LONGEST_LINE: usize = 256;

pub fn check(data: &[u8]) -> Option<()> {
    let items = match read(data) {
        Ok(items) => items,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && line.len() <= LONGEST_LINE, "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
            return Some(());
        }
    };
    for item in &items {
        is_found(item);
    }
    // A list in the place of an object is read by the order of the fields: the plain reader sees no names in it.
    if let Ok(Value::Object(whole)) = serde_json::from_slice(data) {
        let values = whole["items"].as_array().expect("a list");
        assert_eq!(items.len(), values.len());
        let objects = items.iter().zip(values).filter(|(_, v)| v.is_object());
        objects.for_each(|(item, value)| is_meant(item, value));
    }
    Some(())
}

/// The item has what `value` says.
fn is_meant(item: &Item, value: &Value) {
    assert_eq!(value["channel"], *item.channel);
    assert_eq!(value["id"].as_str(), item.id.as_deref());
    assert_eq!(value["prev-id"].as_str(), item.prev_id.as_deref());
    assert_eq!(value["no-seq"].as_bool().unwrap_or_default(), item.no_seq);
    assert!(item.meta.iter().all(|(n, v)| value["meta"][&**n] == **v));
    let below = &value["formats"]["http-stream"];
    let own = &value["http-stream"];
    let format = if below.is_null() { own } else { below };
    if let (Some(stream), Some(format)) = (&item.stream, format.as_object()) {
        let is_text = format.get("content-bin").is_none_or(Value::is_null);
        if stream.action == Action::Send && is_text {
            assert_eq!(
                format["content"].as_str().map(str::as_bytes),
                Some(&*stream.content)
            );
        }
    }
}

/// The item is read from the log as it was written.
fn is_found(item: &Item) {
    let frame = item.frame(7);
    let stored = Stored::read(&frame).expect("an item");
    assert_eq!(stored.channel, &*item.channel);
    assert_eq!(
        (stored.id, stored.prev_id),
        (item.id.as_deref(), item.prev_id.as_deref())
    );
    assert_eq!(stored.no_seq, item.no_seq);
    for (name, value) in &item.meta {
        assert_eq!(stored.meta(name), Some(&**value));
    }
    assert_eq!(stored.stream.is_some(), item.stream.is_some());
    if let (Some(stored), Some(stream)) = (stored.stream, &item.stream) {
        assert_eq!(
            (stored.action, stored.content()),
            (stream.action, &*stream.content)
        );
        assert_eq!(stored.content_frame(&frame), Frame::new(&stream.content));
        let filters = stored
            .content_filters()
            .map(|names| names.map(Into::into).collect());
        assert_eq!(filters, stream.content_filters);
    }
    assert_eq!(stored.response(), item.response);
    if let Some(Body::Patch(patch)) = item.response.as_ref().map(|response| &response.body) {
        let patched = patch::apply(b"{\"a\": [1, {\"b\": 2}]}\n", patch);
        if let Ok(json) = patched {
            assert!(serde_json::from_slice::<Value>(&json).is_ok() && json.ends_with(b"\n"));
        }
    }
}
