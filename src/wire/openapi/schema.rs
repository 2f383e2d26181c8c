//! What a value looks like, as a constant, and its JSON Schema (2020-12, the dialect of OpenAPI 3.1).
//!
//! Used by the tables beside it. Objects are closed: a field that is not listed is not served.

use serde_json::{Map, Value, json};

/// A value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Schema {
    /// Any JSON.
    Any,
    /// A text.
    Text,
    /// A text of this form, a regular expression.
    Form(&'static str),
    /// A moment, RFC 3339.
    Time,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Yes or no.
    Flag,
    /// A whole number.
    Whole,
    /// A whole number that is not negative.
    Count,
    /// A whole number from the first to the second.
    Between(u64, u64),
    /// A number that is not negative.
    Rate,
    /// It, or `null`.
    OrNull(&'static Self),
    /// Any of these.
    AnyOf(&'static [Self]),
    /// At most so many, each like this; without a number as many as there are.
    List(&'static Self, Option<u64>),
    /// One of the named objects.
    Of(&'static Object),
}

/// An object with a name, under `components`.
#[derive(Debug)]
pub(super) struct Object {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) about: &'static str,
    /// All its fields.
    pub(super) fields: &'static [Field],
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: &'static str,
    /// What it says.
    pub(super) about: &'static str,
    /// Its value.
    pub(super) schema: Schema,
    /// Whether it is always there.
    pub(super) needed: bool,
}

impl Field {
    /// A field that is always there.
    pub(super) const fn needed(name: &'static str, schema: Schema, about: &'static str) -> Self {
        Self {
            name,
            about,
            schema,
            needed: true,
        }
    }

    /// A field that may be left out.
    pub(super) const fn optional(name: &'static str, schema: Schema, about: &'static str) -> Self {
        Self {
            name,
            about,
            schema,
            needed: false,
        }
    }
}

impl Schema {
    /// Its JSON Schema.
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::Any => json!({}),
            Self::Text => json!({ "type": "string" }),
            Self::Form(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::OneOf(texts) => json!({ "type": "string", "enum": texts }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Whole => json!({ "type": "integer" }),
            Self::Count => json!({ "type": "integer", "minimum": 0 }),
            Self::Between(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Rate => json!({ "type": "number", "minimum": 0 }),
            Self::OrNull(other) => json!({ "anyOf": [other.to_json(), { "type": "null" }] }),
            Self::AnyOf(all) => {
                let all: Vec<_> = all.iter().map(|one| one.to_json()).collect();
                json!({ "anyOf": all })
            }
            Self::List(item, None) => json!({ "type": "array", "items": item.to_json() }),
            Self::List(item, Some(most)) => {
                json!({ "type": "array", "items": item.to_json(), "maxItems": most })
            }
            Self::Of(object) => {
                json!({ "$ref": format!("#/components/schemas/{}", object.name) })
            }
        }
    }
}

impl Object {
    /// Its JSON Schema.
    pub(super) fn to_json(&self) -> Value {
        let property = |field: &Field| {
            let schema = with(field.schema.to_json(), "description", field.about);
            (field.name.to_owned(), schema)
        };
        let properties: Map<_, _> = self.fields.iter().map(property).collect();
        let needed = self.fields.iter().filter(|field| field.needed);
        let needed: Vec<_> = needed.map(|field| field.name).collect();
        let schema = json!({
            "type": "object",
            "description": self.about,
            "properties": properties,
            "additionalProperties": false,
        });
        if needed.is_empty() {
            return schema;
        }
        with(schema, "required", needed)
    }
}

/// The object with one member more.
pub(super) fn with(mut object: Value, name: &str, member: impl Into<Value>) -> Value {
    if let Value::Object(members) = &mut object {
        members.insert(name.to_owned(), member.into());
    }
    object
}
