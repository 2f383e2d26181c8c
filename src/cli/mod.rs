//! The command line: floor 10.
//!
//! `client` talks to a listener, `publish` and `tail` are the commands that use it; `error` says how each failure leaves.

#[allow(dead_code, reason = "until the arguments are read, only tests call it")]
pub(crate) mod client;
#[allow(dead_code, reason = "until the arguments are read, only tests call it")]
pub(crate) mod error;
#[allow(dead_code, reason = "until the arguments are read, only tests call it")]
mod line;
#[allow(dead_code, reason = "until the arguments are read, only tests call it")]
pub(crate) mod publish;
#[cfg(test)]
mod scripted;
#[allow(dead_code, reason = "until the arguments are read, only tests call it")]
pub(crate) mod tail;
