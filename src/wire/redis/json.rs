//! An object as the site has written it for itself: it is the data, and tells for whom it is.

use serde_json::Value;

use super::{Fields, Malformed, Message, parsed};

pub(super) fn read(text: &str) -> Result<Message, Malformed> {
    let object: Value = parsed(text)?;
    if !object.is_object() {
        return Err(Malformed::Shape);
    }
    Ok(Message {
        name: None,
        data: text.trim_ascii().to_owned().into(),
        id: None,
        fields: Fields::Object(object),
    })
}
