//! Tidegate: a reverse proxy for Django that holds every event stream itself.
//!
//! Modules are listed from the lowest floor to the highest; each imports only from floors below its own (see
//! `ARCHITECTURE.md`, checked by `tests/gateway/house.rs`). The library exists for `main.rs` and the tests, it is no
//! public interface.

pub mod domain;

pub mod base;
pub mod wire;

pub mod limits;
pub mod routes;
pub mod tls;
pub mod tokens;

pub mod acme;
pub mod files;
pub mod history;
pub mod upstream;

pub mod ask;
pub mod hub;

pub mod notify;
pub mod publish;
pub mod record;
pub mod redis;
pub mod stream;

pub mod console;

pub mod internal;
pub mod proxy;

pub mod server;

pub mod config;

pub mod app;

pub mod cli;
