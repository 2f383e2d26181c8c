//! `/openapi.json` as a test reads it: which answers it names, and whether a body is as it says.
//!
//! Every answer that any test gets of the internal listener is checked here: a status, a code or a field that the
//! document does not know fails the test.

use std::sync::LazyLock;

use serde_json::Value;

use super::client::Answer;

/// The document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_slice(&tidegate::wire::openapi::document("/metrics", true)).unwrap()
});

/// An operation of the document: its path as it is there, and its key.
pub type Name = (&'static str, &'static str);

/// All operations.
pub fn operations() -> impl Iterator<Item = (Name, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter()
            .map(move |(verb, operation)| ((path.as_str(), verb.as_str()), operation))
    })
}

/// The operation that a request is for.
pub fn operation(method: &str, target: &str) -> Option<(Name, &'static Value)> {
    let path = target.split('?').next().unwrap();
    let channel = path.strip_prefix("/v1/channels/");
    let template = match channel.and_then(|rest| rest.rsplit('/').next()) {
        Some("events") if channel != Some("events") => "/v1/channels/{channel}/events",
        Some("streams") if channel != Some("streams") => "/v1/channels/{channel}/streams",
        Some(_) => "/v1/channels/{channel}",
        None => path,
    };
    let verb = match method {
        "HEAD" => "get".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    operations().find(|((path, known), _)| *path == template && *known == verb)
}

/// Checks an answer against the document; the operation and, of a problem, its code.
pub fn check(method: &str, target: &str, answer: &Answer) -> Option<(Name, Option<String>)> {
    let what = || format!("{method} {target}: {} {}", answer.status, answer.text());
    let problem = answer.header("content-type") == Some("application/problem+json");
    let code =
        (problem && method != "HEAD").then(|| answer.json()["code"].as_str().unwrap().to_owned());
    let Some((name, operation)) = operation(method, target) else {
        assert!(matches!(answer.status, 404 | 405 | 422), "{}", what());
        return None;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(!response.is_null(), "no such status: {}", what());
    if response["content"].as_object().unwrap().is_empty() {
        assert!(
            answer.body.is_empty() && answer.header("content-type").is_none(),
            "{}",
            what()
        );
        return Some((name, code));
    }
    let media = answer.header("content-type").unwrap();
    let media = media.split(';').next().unwrap();
    let content = &response["content"][media];
    assert!(!content.is_null(), "no such content: {media}, {}", what());
    if method != "HEAD" {
        let body = if media.ends_with("json") {
            answer.json()
        } else {
            answer.text().into()
        };
        if let Err(wrong) = fits(&body, &content["schema"]) {
            panic!("{wrong}: {}", what());
        }
    }
    for (header, about) in response["headers"].as_object().into_iter().flatten() {
        let Some(text) = answer.header(header) else {
            assert_ne!(about["required"], true, "no {header}: {}", what());
            continue;
        };
        let value = text
            .parse::<u64>()
            .map_or_else(|_| text.into(), Value::from);
        if let Err(wrong) = fits(&value, &about["schema"]) {
            panic!("{header}: {wrong}: {}", what());
        }
    }
    Some((name, code))
}

/// A schema of the document by its name.
pub fn named(name: &str) -> &'static Value {
    let schema = &DOCUMENT["components"]["schemas"][name];
    assert!(!schema.is_null(), "{name}");
    schema
}

/// Whether `value` is as `schema` says; what is wrong if not. Knows every keyword that the document uses, and no other.
pub fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !is_a(value, kind)
    {
        return Err(format!("{value} is no {kind}"));
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        let is = match keyword.as_str() {
            "description" | "type" => true,
            "enum" => rule.as_array().unwrap().contains(value),
            "pattern" => is_form(value.as_str().unwrap(), rule.as_str().unwrap()),
            "format" => is_time(value.as_str().unwrap()),
            "minimum" => value.as_f64().unwrap() >= rule.as_f64().unwrap(),
            "maximum" => value.as_f64().unwrap() <= rule.as_f64().unwrap(),
            "maxItems" => value.as_array().unwrap().len() as u64 <= rule.as_u64().unwrap(),
            "$ref" => {
                let name = rule.as_str().unwrap().rsplit('/').next().unwrap();
                fits(value, named(name))?;
                true
            }
            "anyOf" => rule
                .as_array()
                .unwrap()
                .iter()
                .any(|one| fits(value, one).is_ok()),
            "allOf" => {
                for one in rule.as_array().unwrap() {
                    fits(value, one)?;
                }
                true
            }
            "items" => {
                for item in value.as_array().unwrap() {
                    fits(item, rule)?;
                }
                true
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    value
                        .get(name)
                        .map_or(Ok(()), |field| fits(field, schema))?;
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(rule, false);
                let mut names = value.as_object().unwrap().keys();
                names.all(|name| schema["properties"].get(name).is_some())
            }
            other => panic!("this test does not know {other:?}"),
        };
        if !is {
            return Err(format!("{value} is not as {keyword} {rule} says"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("this test does not know the type {other:?}"),
    }
}

/// `^[characters]{least,most}$`, the one form of pattern there is.
fn is_form(text: &str, pattern: &str) -> bool {
    let (class, count) = pattern
        .strip_prefix("^[")
        .unwrap()
        .split_once("]{")
        .unwrap();
    let count = count.strip_suffix("}$").unwrap();
    let (least, most) = count.split_once(',').unwrap_or((count, count));
    let bounds = least.parse().unwrap()..=most.parse().unwrap();
    let class: Vec<char> = class.chars().collect();
    let in_class = |c: char| {
        let range = |three: &[char]| three[1] == '-' && three[0] <= c && c <= three[2];
        class.contains(&c) || class.windows(3).any(range)
    };
    bounds.contains(&text.len()) && text.chars().all(in_class)
}

/// RFC 3339 in UTC with milliseconds.
fn is_time(text: &str) -> bool {
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    text.chars().map(digits).collect::<String>() == "0000-00-00T00:00:00.000Z"
}
