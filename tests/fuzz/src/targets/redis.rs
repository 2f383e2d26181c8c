//! A message of Redis: whatever it is, it becomes one event or none, and tells no other recipient than it names.
//!
//! The first line is the format and the name of a field, the rest the message.

use tidegate::domain::{ChannelName, Event, Keep};
use tidegate::wire::redis::{Format, read};

use super::event::is_exactly;

pub fn check(data: &[u8]) -> Option<()> {
    let line = data.iter().position(|&b| b == b'\n')?;
    let (format, field) = std::str::from_utf8(&data[..line]).ok()?.split_once(' ')?;
    let format = match format {
        "django-sse" => Format::DjangoSse,
        "json" => Format::Json,
        "django-eventstream" => Format::DjangoEventstream,
        _ => return None,
    };
    let payload = &data[line + 1..];
    let Ok(message) = read(format, payload) else {
        return Some(());
    };
    let json: serde_json::Value = serde_json::from_slice(payload).expect("every format is JSON");
    if let Some(told) = message.field(field) {
        let mut parts = field.split('.');
        let found = parts.try_fold(&json, |value, part| value.get(part));
        let found = found.expect("what is told is there");
        let number = found.to_string();
        let same = found.as_str() == Some(&*told) || number == told;
        assert!(same && !told.is_empty(), "{found} {told}");
    }
    if format == Format::Json {
        assert_eq!(message.data, payload.trim_ascii());
    }
    is_exactly(&Event {
        channels: vec![ChannelName::parse("news").ok()?],
        name: message.name,
        data: Some(message.data),
        id: message.id,
        retry: None,
        keep: Keep::All,
        close: false,
        except: None,
    });
    Some(())
}
