//! The gateway as a whole, in process and on real sockets: a module per behaviour, what they share in `support`.
//!
//! A scripted backend stands behind it, a client that sends any bytes in front. Nothing here sleeps to let something
//! happen: each test waits for what it needs (an answer, an event, a count) under one generous patience.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::large_futures,
    unreachable_pub,
    missing_docs,
    clippy::unused_async,
    clippy::single_match_else,
    clippy::semicolon_if_nothing_returned,
    reason = "a test that meets the unexpected fails at once, and nobody imports from here"
)]

// The access log: one line for each request, which nobody forges and nobody waits for.
mod access;
// What Django is asked before a stream opens, and what becomes of each of its answers.
mod asks_answers;
// How often Django is asked: again for an open stream, so many at once, not while an answer is kept.
mod asks_frequency;
// Django cannot answer an ask: `hold`, `retry`, `fail`, a POST.
mod asks_unanswered;
// Routes that only some people may see.
mod basic_auth;
// Bodies that wait in the gateway, and where there is no room for them.
mod buffering;
// Answers in a content coding.
mod compressing;
// How many connections one client may have.
mod connections_per_client;
// The page of an internal listener, and which browsers may call it.
mod console;
// Which pages of other origins may read a stream.
mod cors;
// Which pages of other origins may read anything else.
mod cors_routes;
// The end of a gateway.
mod draining;
// What a browser is shown in place of our own text.
mod error_pages;
// Django away, slow or broken behind a proxied request.
mod failing;
// Requests that are answered later, and the control endpoint of GRIP.
mod grip_edges;
mod grip_keys;
mod grip_polls;
// Streams that Django opens by its answer, in the way of GRIP.
mod grip_streams;
mod grip_uploads;
// Messages that could be read in two ways.
mod hostile;
mod hostile_floods;
// HTTP/2 frames whose request no HTTP/1 head could hold.
mod hostile_http2;
// Which sites are served, and whose word about the client counts.
mod hosts;
// The rules of the sources themselves.
mod house;
// Streams ended from inside: by user, channel or id, or with their channel.
mod internal_ending;
// The history of a channel, page by page.
mod internal_history;
// Who is listening, and what the tap shows.
mod internal_streams;
// The far side of every limit on clients.
mod limits;
mod logout;
// How often a client may come.
mod limits_rates;
// A file that keeps requests from Django.
mod maintenance;
mod maintenance_streams;
// Who comes and who leaves is told to Django.
mod notify;
// Channels, stats, metrics, health and the tap of the internal listener.
mod observing;
// `/openapi.json` and what is served are the same.
mod openapi;
// Bodies in both directions: gathered or passed on as they come, asked for or refused.
mod proxying_bodies;
// The connections to Django: which are used again and which end.
mod proxying_connections;
// The PROXY protocol: whose a connection is.
mod proxy_protocol;
// What Django is sent and what the client gets back, to the byte.
mod proxying_heads;
// Who may publish.
mod publishing_access;
// What a view publishes by the head of its answer.
mod publishing_by_answers;
// What may be published, and that it is heard as it was meant and forges nothing.
mod publishing_events;
// A stream of lines, each an event.
mod publishing_lines;
// A request that is sent twice publishes once.
mod publishing_once;
// How many events a token may publish.
mod publishing_rates;
// Every refusal of an event, with its place and a hint.
mod publishing_refusals;
// Publishers that sign.
mod publishing_signed;
// Events for a user.
mod publishing_users;
// Which keys a reload puts in force, and which need a restart.
mod reloading_edge;
mod reloading_keys;
// A file with mistakes, and who may have it read.
mod reloading_refused;
// A right file: who comes finds the new, what is open goes on.
mod reloading_site;
// What the answer to a viewer does beside being recorded, and who is refused before anything is recorded for him.
mod recording_begins;
// How a recording begins and ends: with the view, without viewers, beyond its bounds.
mod recording_ends;
// What a viewer of a recording is given, and that it is what the view wrote.
mod recording_posts;
mod recording_replays;
// Recordings through a reload, a kill, and the leave of who was first.
mod recording_reloads;
// Who is on one recording, and who sees no byte of it.
mod recording_shares;
// The id of a request, and what else the file may move.
mod request_ids;
// What shared caches may make of files.
mod static_caching;
// Files of a folder: what they are, which part of them, and no way out of it.
mod static_files;
// Answers of Django that lead to a file.
mod static_redirects;
// What an open stream carries, whoever else is slow or leaves.
mod streams_delivering;
// Clients that read slowly, but steadily.
mod slow_readers;
// Requests that are sent elsewhere.
mod redirecting;
// Answers without Django, and what of a path Django is not told.
mod responding;
// Headers that every answer has.
mod security_headers;
// How a stream begins, and which request opens none.
mod streams_opening;
// What who comes back is given: the rest, a reset, or 204 after a close.
mod streams_resuming;
// What they share.
mod support;
// TLS on a listener: how it begins, that the rest is as it is without, and how it ends.
mod tls;
// Only known clients are let in.
mod tls_clients;
// Which of several certificates a client is shown.
mod tls_names;
// A certificate is replaced while the gateway runs.
mod tls_renewal;
mod tls_self_signed;
// Streams opened by a token that the site signed.
mod tokens;
// Which of several servers a request goes to.
mod upstream_balance;
// Servers that are away or unwell, and the others.
mod upstream_health;
// Servers behind TLS: who is trusted, and that the rest is as it is without.
mod upstream_tls;
// WebSockets pass through; nothing else switches protocols.
mod websockets;
