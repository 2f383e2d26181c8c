//! The targets by their names. Each has a file here, seeds in `corpus/`, and is run by `tests/fuzz/run`.

mod access;
mod answer;
mod basic;
mod config;
mod cookies;
mod cors;
mod event;
mod file;
mod forwarded;
mod grip_instruct;
mod grip_publish;
mod guard;
mod host;
mod kick;
mod last_event_id;
mod ndjson;
mod path;
mod proxy_protocol;
mod publish;
mod python;
mod query;
mod redis;
mod signed;
mod sse;
mod webhook;

/// What a target makes of the bytes: `None` if they are not of its form, so that they are not worth keeping.
pub type Target = fn(&[u8]) -> Option<()>;

/// The target of this name.
pub fn find(name: &str) -> Option<Target> {
    Some(match name {
        "access" => access::check,
        "answer" => answer::check,
        "basic" => basic::check,
        "config" => config::check,
        "cookies" => cookies::check,
        "cors" => cors::check,
        "event" => event::check,
        "file" => file::check,
        "forwarded" => forwarded::check,
        "grip_instruct" => grip_instruct::check,
        "grip_publish" => grip_publish::check,
        "guard" => guard::check,
        "host" => host::check,
        "kick" => kick::check,
        "last_event_id" => last_event_id::check,
        "ndjson" => ndjson::check,
        "path" => path::check,
        "proxy_protocol" => proxy_protocol::check,
        "publish" => publish::check,
        "python" => python::check,
        "query" => query::check,
        "redis" => redis::check,
        "signed" => signed::check,
        "sse" => sse::check,
        "webhook" => webhook::check,
        _ => return None,
    })
}
