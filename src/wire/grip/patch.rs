//! JSON Patch (RFC 6902), applied to the body with which Django answered a poll first.
//!
//! Called when a poll is answered with `body-patch`. All or nothing: an operation that fails leaves the body unsent. A line
//! end after the body is kept; the members of its objects come in the order of their names.
//!
//! Bounds: 1,000 operations, 1 MiB that `copy` adds, for copies of copies grow without end, and 128 levels, for whoever
//! writes or drops a value goes down all of them on his stack.

use serde::Deserialize;
use serde_json::Value;

const MOST_OPERATIONS: usize = 1000;

/// The most that all copies of a patch add, in about bytes.
const MOST_COPIED: usize = 1 << 20;

/// The most levels of a value: what the reader of bodies takes.
const DEEPEST: usize = 128;

/// Why a body cannot be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPatch {
    /// The patch is no list of operations, or too long.
    #[error("the patch is no list of at most {MOST_OPERATIONS} operations")]
    Malformed,
    /// The body is no JSON.
    #[error("the body is no JSON")]
    Body,
    /// An operation names a place that is not there.
    #[error("operation {0} has no place in the body")]
    Place(usize),
    /// What an operation tests is otherwise.
    #[error("operation {0} tests what is not so")]
    Test(usize),
    /// Copies that would grow too large, or values too deep.
    #[error("the patch copies more than {MOST_COPIED} bytes or makes more than {DEEPEST} levels")]
    TooLarge,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// Whether these bytes are a patch.
pub fn is_patch(json: &[u8]) -> bool {
    operations(json).is_ok()
}

/// The body after the patch.
pub fn apply(body: &[u8], patch: &[u8]) -> Result<Vec<u8>, BadPatch> {
    let operations = operations(patch)?;
    let mut value: Value = serde_json::from_slice(body).map_err(|_| BadPatch::Body)?;
    let mut copied = 0;
    for (index, operation) in operations.into_iter().enumerate() {
        operation.apply(&mut value, &mut copied, index)?;
    }
    let mut out = serde_json::to_vec(&value).map_err(|_| BadPatch::Body)?;
    if body.ends_with(b"\r\n") {
        out.push(b'\r');
    }
    if body.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(out)
}

fn operations(patch: &[u8]) -> Result<Vec<Operation>, BadPatch> {
    let operations: Vec<Operation> =
        serde_json::from_slice(patch).map_err(|_| BadPatch::Malformed)?;
    let are_pointers = operations.iter().all(Operation::has_pointers);
    if operations.len() > MOST_OPERATIONS || !are_pointers {
        return Err(BadPatch::Malformed);
    }
    Ok(operations)
}

impl Operation {
    fn has_pointers(&self) -> bool {
        let is_pointer = |text: &String| text.is_empty() || text.starts_with('/');
        match self {
            Self::Add { path, .. }
            | Self::Remove { path }
            | Self::Replace { path, .. }
            | Self::Test { path, .. } => is_pointer(path),
            Self::Move { from, path } | Self::Copy { from, path } => {
                is_pointer(from) && is_pointer(path)
            }
        }
    }

    fn apply(self, whole: &mut Value, copied: &mut usize, index: usize) -> Result<(), BadPatch> {
        let place = BadPatch::Place(index);
        match self {
            Self::Add { path, value } => add(whole, &path, value, place),
            Self::Remove { path } => remove(whole, &path).map(drop).ok_or(place),
            Self::Replace { path, value } => {
                let value = fitting(&path, value)?;
                let old = whole.pointer_mut(&path).ok_or(place)?;
                *old = value;
                Ok(())
            }
            Self::Move { from, path } => match path.strip_prefix(&from) {
                // Where it is already it may stay, but a value cannot go into itself (section 4.4).
                Some("") => whole.pointer(&from).map(drop).ok_or(place),
                Some(rest) if rest.starts_with('/') => Err(place),
                _ => {
                    let value = remove(whole, &from).ok_or(place)?;
                    add(whole, &path, value, place)
                }
            },
            Self::Copy { from, path } => {
                let value = whole.pointer(&from).ok_or(place)?;
                *copied = copied.saturating_add(weight(value));
                if *copied > MOST_COPIED {
                    return Err(BadPatch::TooLarge);
                }
                let value = value.clone();
                add(whole, &path, value, place)
            }
            Self::Test { path, value } => {
                let own = whole.pointer(&path).ok_or(place)?;
                (*own == value).then_some(()).ok_or(BadPatch::Test(index))
            }
        }
    }
}

/// The value, if it is not too deep for its place.
fn fitting(path: &str, value: Value) -> Result<Value, BadPatch> {
    let above = path.matches('/').count();
    (above + depth(&value) <= DEEPEST)
        .then_some(value)
        .ok_or(BadPatch::TooLarge)
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(elements) => elements.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    inner.unwrap_or_default() + 1
}

/// The place that holds the last part of a pointer, and that part.
fn parent<'v>(whole: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    Some((whole.pointer_mut(parent)?, last))
}

fn add(whole: &mut Value, path: &str, value: Value, missing: BadPatch) -> Result<(), BadPatch> {
    let value = fitting(path, value)?;
    if path.is_empty() {
        *whole = value;
        return Ok(());
    }
    match parent(whole, path).ok_or(missing)? {
        (Value::Object(members), name) => {
            members.insert(name, value);
        }
        (Value::Array(elements), last) if last == "-" => elements.push(value),
        (Value::Array(elements), last) => {
            let at = position(&last).filter(|at| *at <= elements.len());
            elements.insert(at.ok_or(missing)?, value);
        }
        _ => return Err(missing),
    }
    Ok(())
}

fn remove(whole: &mut Value, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(whole.take());
    }
    match parent(whole, path)? {
        (Value::Object(members), name) => members.remove(&name),
        (Value::Array(elements), last) => {
            let at = position(&last).filter(|at| *at < elements.len())?;
            Some(elements.remove(at))
        }
        _ => None,
    }
}

/// A number without a sign or zeros before it (RFC 6901, section 4).
fn position(text: &str) -> Option<usize> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// About as many bytes as the value is in memory.
fn weight(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(weight).sum(),
        Value::Object(members) => {
            let of_member = |(name, value): (&String, &Value)| name.len() + 24 + weight(value);
            members.iter().map(of_member).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner + 32
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(body: &Value, patch: &Value) -> Result<Value, BadPatch> {
        let out = apply(body.to_string().as_bytes(), patch.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn the_six_operations() {
        let body = json!({"a": {"b/c": [1, 2]}, "d~": null});
        let patch = json!([
            {"op": "test", "path": "/a/b~1c/1", "value": 2},
            {"op": "add", "path": "/a/b~1c/0", "value": 0},
            {"op": "add", "path": "/a/b~1c/-", "value": 3, "x": "y"},
            {"op": "replace", "path": "/d~0", "value": [true]},
            {"op": "copy", "from": "/d~0", "path": "/e"},
            {"op": "move", "from": "/a/b~1c", "path": "/f"},
            {"op": "remove", "path": "/d~0"},
            {"op": "move", "from": "/e", "path": "/e"},
        ]);
        let expected = json!({"a": {}, "e": [true], "f": [0, 1, 2, 3]});
        assert_eq!(patched(&body, &patch), Ok(expected));
        let whole = json!([{"op": "replace", "path": "", "value": 4}]);
        assert_eq!(patched(&body, &whole), Ok(json!(4)));
    }

    #[test]
    fn what_has_no_place_is_an_error() {
        let body = json!({"a": [1], "b": 2});
        for operation in [
            json!({"op": "add", "path": "/c/d", "value": 1}),
            json!({"op": "add", "path": "/b/c", "value": 1}),
            json!({"op": "add", "path": "/a/2", "value": 1}),
            json!({"op": "add", "path": "/a/+0", "value": 1}),
            json!({"op": "add", "path": "/a/00", "value": 1}),
            json!({"op": "add", "path": "/a/", "value": 1}),
            json!({"op": "remove", "path": "/a/1"}),
            json!({"op": "remove", "path": "/a/-"}),
            json!({"op": "remove", "path": "/c"}),
            json!({"op": "replace", "path": "/c", "value": 1}),
            json!({"op": "move", "from": "/a", "path": "/a/0"}),
            json!({"op": "copy", "from": "/c", "path": "/d"}),
            json!({"op": "test", "path": "/c", "value": null}),
        ] {
            assert_eq!(
                patched(&body, &json!([operation])),
                Err(BadPatch::Place(0)),
                "{operation}"
            );
        }
        let test = json!([{"op": "test", "path": "/b", "value": 3}]);
        assert_eq!(patched(&body, &test), Err(BadPatch::Test(0)));
    }

    #[test]
    fn what_is_no_patch_is_known_before() {
        for patch in [
            json!({}),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "frob", "path": "/a"}]),
            json!([{"op": "remove", "path": "a"}]),
        ] {
            assert!(!is_patch(patch.to_string().as_bytes()), "{patch}");
        }
        let many = |count| vec![json!({"op": "remove", "path": "/a"}); count];
        let is_patch = |count| is_patch(json!(many(count)).to_string().as_bytes());
        assert!(is_patch(MOST_OPERATIONS) && !is_patch(MOST_OPERATIONS + 1));
        assert_eq!(apply(b"{", b"[]"), Err(BadPatch::Body));
    }

    #[test]
    fn a_line_end_is_kept() {
        for (body, expected) in [("{ }\n", "{}\n"), ("{}", "{}"), ("[]\r\n", "[]\r\n")] {
            assert_eq!(apply(body.as_bytes(), b"[]").unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = (0..60).fold(json!(0), |value, _| json!({"a": value}));
        let path = |levels| "/a".repeat(levels);
        let patch = json!([
            {"op": "add", "path": path(60), "value": nested},
            {"op": "move", "from": "", "path": ""},
            {"op": "copy", "from": "/a", "path": "/b"},
        ]);
        assert!(patched(&nested, &patch).is_ok());
        let more = json!([
            {"op": "add", "path": path(60), "value": nested},
            {"op": "add", "path": "/b", "value": nested},
            {"op": "move", "from": "/a", "path": format!("/b{}", path(60))},
        ]);
        assert_eq!(patched(&nested, &more), Err(BadPatch::TooLarge));
    }

    #[test]
    fn copies_of_copies_have_an_end() {
        let double = json!({"op": "copy", "from": "", "path": "/-"});
        assert_eq!(
            patched(&json!(["x"]), &json!(vec![double; 100])),
            Err(BadPatch::TooLarge)
        );
    }
}
