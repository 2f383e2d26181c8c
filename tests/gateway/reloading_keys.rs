//! Which keys a reload puts in force, and which need a restart: each of them is named, and nothing else.

use tidegate::wire::reload::Reloaded;

use crate::support::Gateway;

/// A file in pieces, each of which a case may replace.
const FILE: [(&str, &str); 14] = [
    ("server", ""),
    ("limits", ""),
    ("sse", ""),
    ("publish", ""),
    ("log", ""),
    ("trust", ""),
    ("headers", ""),
    ("compress", ""),
    ("errors", ""),
    ("metrics", ""),
    ("console", ""),
    ("redis", ""),
    ("upstream.django", "servers = [\"127.0.0.1:1\"]"),
    ("upstream.other", "servers = [\"127.0.0.1:1\"]"),
];

const ROUTE: &str = "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n\
    [[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n";

/// The file with this in place of the table `other`.
fn file(other: &str, text: &str) -> String {
    let tables = FILE.iter().map(|(name, usual)| {
        let text = if *name == other { text } else { usual };
        format!("[{name}]\n{text}\n")
    });
    tables.chain([ROUTE.to_owned()]).collect()
}

async fn told(gateway: &Gateway, file: &str) -> Reloaded {
    gateway
        .reload(file)
        .await
        .unwrap_or_else(|error| panic!("{error}: {file}"))
}

/// Reloads with this in the place of a table, then without it, and looks at what is told.
async fn there_and_back(gateway: &Gateway, table: &str, text: &str, changed: &str, restart: &str) {
    let words = |text: &str| {
        let words = text.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    let (changed, restart) = (words(changed), words(restart));
    let there = told(gateway, &file(table, text)).await;
    assert_eq!(
        (&there.changed, &there.restart),
        (&changed, &restart),
        "{text}"
    );
    let back = told(gateway, &file("", "")).await;
    assert_eq!(
        (&back.changed, back.restart.len()),
        (&changed, 0),
        "back from {text}"
    );
}

#[tokio::test]
async fn every_key_is_put_in_force_or_said_to_need_a_restart() {
    let gateway = Gateway::start(&file("", "")).await;
    for (table, text, changed, restart) in [
        ("server", "hosts = [\"localhost\"]", "server.hosts", ""),
        ("server", "drain = \"20s\"", "server.drain", ""),
        ("compress", "min_size = \"2KiB\"", "compress", ""),
        ("server", "drain_spread = \"1s\"", "server.drain_spread", ""),
        ("server", "workers = 3", "", "server.workers"),
        (
            "server",
            "max_connections = 7",
            "",
            "server.max_connections",
        ),
        ("limits", "header = \"4KiB\"", "limits.header", ""),
        (
            "limits",
            "header_timeout = \"1s\"",
            "limits.header_timeout",
            "",
        ),
        ("limits", "body_idle = \"1s\"", "limits.body_idle", ""),
        ("limits", "keepalive = \"1s\"", "limits.keepalive", ""),
        ("limits", "rate = \"1/s\"", "limits.rate", ""),
        ("limits", "body = \"1KiB\"", "limits.body route", ""),
        ("sse", "heartbeat = \"1s\"", "route sse", ""),
        ("sse", "history = { events = 1 }", "route sse.history", ""),
        ("sse", "history_memory = \"1MiB\"", "sse.history_memory", ""),
        (
            "sse",
            "client_buffer = \"1MiB\"",
            "route sse.client_buffer",
            "",
        ),
        ("sse", "closed_for = \"1m\"", "route sse.closed_for", ""),
        (
            "sse",
            "notify = { to = \"django\", path = \"/in/\" }\n\
             notify_secret = \"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\"",
            "",
            "sse.notify",
        ),
        ("publish", "max_event = \"1KiB\"", "publish.max_event", ""),
        ("publish", "idempotency = \"1m\"", "publish.idempotency", ""),
        ("publish", "ndjson_idle = \"1s\"", "publish.ndjson_idle", ""),
        (
            "publish",
            "tokens = [{ name = \"a\", secret = \"one\" }]",
            "publish.tokens",
            "",
        ),
        ("log", "level = \"error\"", "log.level", ""),
        ("log", "format = \"json\"", "", "log.format"),
        (
            "log",
            "access = { to = \"/dev/null\" }",
            "",
            "log.access.to",
        ),
        ("trust", "proxies = [\"10.0.0.0/8\"]", "trust", ""),
        ("trust", "client_ip = \"x-real-ip\"", "trust", ""),
        (
            "headers",
            "set = { X-Frame-Options = \"DENY\" }",
            "headers",
            "",
        ),
        ("redis", "url = \"redis://127.0.0.1:1\"", "", "redis"),
        (
            "upstream.other",
            "servers = [\"127.0.0.1:2\"]",
            "upstream.other",
            "",
        ),
    ] {
        there_and_back(&gateway, table, text, changed, restart).await;
    }
    assert_eq!(told(&gateway, &file("", "")).await, Reloaded::default());
}

#[tokio::test]
async fn so_is_every_key_of_what_stands_around_the_routes() {
    let gateway = Gateway::start(&file("", "")).await;
    if gateway.has_fast_path {
        let text = "fast_path = false";
        there_and_back(&gateway, "server", text, "", "server.fast_path").await;
    }
    for (table, text, changed, restart) in [
        ("server", "temp = \"/tmp\"", "", "server.temp"),
        ("limits", "connections = 7", "limits.connections", ""),
        ("limits", "burst = 7\nrate = \"1/s\"", "limits.rate", ""),
        (
            "limits",
            "buffers_memory = \"1MiB\"",
            "",
            "limits.buffers_memory",
        ),
        (
            "limits",
            "buffers_files = \"1MiB\"",
            "",
            "limits.buffers_files",
        ),
        ("log", "request_id = \"x-trace\"", "log.request_id", ""),
        ("trust", "proxies = [\"unix:\"]", "trust", ""),
        ("headers", "hsts = \"1y\"", "headers", ""),
        (
            "errors",
            "pages = { 502 = \"/dev/null\" }",
            "errors.pages",
            "",
        ),
        (
            "errors",
            "maintenance = { when_file = \"/nowhere/at/all\" }",
            "errors.maintenance",
            "",
        ),
        ("metrics", "path = \"/other\"", "", "metrics"),
        ("metrics", "per_channel = true", "", "metrics"),
        ("console", "enabled = false", "", "console"),
    ] {
        there_and_back(&gateway, table, text, changed, restart).await;
    }
}

#[tokio::test]
async fn every_key_of_an_upstream_makes_another_of_it() {
    let gateway = Gateway::start(&file("", "")).await;
    for key in [
        "balance = \"round-robin\"",
        "connect_timeout = \"1s\"",
        "response_timeout = \"1s\"",
        "idle_reuse = \"1s\"",
        "retry_for = \"1s\"",
        "max_in_flight = 1",
        "queue_timeout = \"1s\"",
        "buffer_request = \"1KiB\"",
        "buffer_request = false",
        "buffer_response = \"1KiB\"",
        "buffer_response = false",
        "publish = true",
        "grip = true",
        "grip = { key = \"changeme\" }",
        "health = { path = \"/\" }",
    ] {
        let text = format!("servers = [\"127.0.0.1:1\"]\n{key}");
        there_and_back(&gateway, "upstream.other", &text, "upstream.other", "").await;
    }
}

#[tokio::test]
async fn an_upstream_comes_and_goes() {
    let gateway = Gateway::start(&file("", "")).await;
    let more = format!(
        "{}[upstream.more]\nservers = [\"127.0.0.1:3\"]\n",
        file("", "")
    );
    for file in [&more, &file("", "")] {
        assert_eq!(told(&gateway, file).await.changed, ["upstream.more"]);
    }
}

#[tokio::test]
async fn listeners_and_where_the_access_log_goes_stay_as_they_were() {
    let log = "access = { to = \"/dev/null\", format = \"json\" }";
    let gateway = Gateway::start(&file("log", log)).await;
    let more = "[listen.more]\naddress = \"127.0.0.1:0\"\n";
    let reloaded = told(&gateway, &format!("{}{more}", file("log", log))).await;
    assert_eq!(
        (reloaded.changed.len(), &*reloaded.restart),
        (0, &["listen.more".to_owned()][..])
    );
    for (access, changed, restart) in [
        (
            "access = { to = \"/dev/null\", format = \"combined\" }",
            "log.access",
            "",
        ),
        (
            "access = { to = \"/dev/zero\", format = \"json\" }",
            "log.access",
            "log.access.to",
        ),
        ("", "log.access", ""),
        (log, "log.access", ""),
    ] {
        let reloaded = told(&gateway, &file("log", access)).await;
        let named = (reloaded.changed.join(" "), reloaded.restart.join(" "));
        assert_eq!(named, (changed.to_owned(), restart.to_owned()), "{access}");
    }
}
