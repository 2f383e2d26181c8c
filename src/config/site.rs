//! `[server]`, `[limits]` and `[log]`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use tracing_subscriber::filter::LevelFilter;

use super::Trust;
use super::reader::Section;
use super::scalar::Text;
use crate::base::access::Destination;
use crate::base::log;
use crate::domain::ByteSize;
use crate::limits::ClientRate;
use crate::proxy::AccessSettings;
use crate::server;
use crate::upstream::Room;
use crate::wire::access;
use crate::wire::forwarded::ClientIpHeader;
use crate::wire::headers::{REQUEST_ID, is_taken};
use crate::wire::host::HostRule;

/// Everything from nothing to an exbibyte.
pub(super) const MOST: ByteSize = ByteSize::bytes(1 << 60);

/// `[server]` but for what belongs to [`server::Settings`].
pub(super) struct Site {
    pub(super) hosts: Vec<HostRule>,
    pub(super) workers: usize,
    pub(super) drain: Duration,
    pub(super) drain_spread: Duration,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            hosts: vec![HostRule::Any],
            workers: 0,
            drain: Duration::from_secs(25),
            drain_spread: Duration::from_secs(20),
        }
    }
}

/// `[server]`.
pub(super) fn server(
    document: &mut Section<'_>,
    settings: &mut server::Settings,
    room: &mut Room,
) -> Site {
    let mut site = Site::default();
    document.table("server", "server", |section| {
        if let Some(hosts) = section.value("hosts").and_then(|value| {
            let hosts = value.texts()?;
            if hosts.is_empty() {
                let hint = "[\"*\"] lets every host in".to_owned();
                value.problem("no host would be served", Some(hint));
            }
            Some(hosts)
        }) {
            site.hosts = hosts.iter().filter_map(host).collect();
        }
        section.count("workers", 0..=1024, &mut site.workers);
        section.count(
            "max_connections",
            1..=100_000_000,
            &mut settings.max_connections,
        );
        if let Some(fast_path) = section.flag("fast_path") {
            settings.fast_path = fast_path;
        }
        room.directory = section.text("temp").and_then(|text| directory(&text));
        section.duration("drain", &mut site.drain);
        site.drain_spread = site.drain_spread.min(site.drain);
        if let Some(value) = section.value("drain_spread")
            && let Some(spread) = value.duration()
        {
            if spread > site.drain {
                let hint = "streams must have ended when the drain is over".to_owned();
                value.problem("longer than `drain`", Some(hint));
            }
            site.drain_spread = spread;
        }
    });
    site
}

fn directory(text: &Text<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(&text.value);
    if path.is_dir() {
        return Some(path);
    }
    text.problem(format!("{} is no directory", text.written()), None);
    None
}

fn host(text: &Text<'_>) -> Option<HostRule> {
    if let Some(below) = text.value.strip_prefix("*.") {
        let message = format!("{} is not how a host is written", text.written());
        text.problem(message, Some(format!("did you mean \".{below}\"?")));
        return None;
    }
    text.parse(HostRule::parse)
}

/// The burst of `limits.rate`, unless the file has another.
const BURST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
/// The largest burst.
const LARGEST_BURST: usize = 1_000_000;
/// The most connections of one client that make a limit.
const MOST_CONNECTIONS: usize = 1_000_000;

/// `[limits]` but for what belongs to [`server::Settings`].
pub(super) struct Limits {
    /// The largest body of a request.
    pub(super) body: ByteSize,
    /// How often a client may come.
    pub(super) rate: Option<ClientRate>,
    /// How many connections it may have.
    pub(super) connections: Option<NonZeroUsize>,
}

/// `[limits]`, also into the settings of the server and the room for bodies.
pub(super) fn limits(
    document: &mut Section<'_>,
    settings: &mut server::Settings,
    room: &mut Room,
) -> Limits {
    let mut body = ByteSize::mib(10);
    let mut rate = None;
    let mut connections = 0;
    document.table("limits", "limits", |section| {
        section.size("body", ByteSize::bytes(0)..=MOST, &mut body);
        let header = ByteSize::kib(1)..=ByteSize::mib(16);
        section.size("header", header, &mut settings.header);
        section.some_time("header_timeout", &mut settings.header_timeout);
        section.some_time("body_idle", &mut settings.body_idle);
        section.some_time("keepalive", &mut settings.keepalive);
        let any = ByteSize::bytes(0)..=MOST;
        section.size("buffers_memory", any.clone(), &mut room.memory);
        section.size("buffers_files", any, &mut room.files);
        rate = client_rate(section, Some(BURST));
        section.count("connections", 0..=MOST_CONNECTIONS, &mut connections);
    });
    Limits {
        body,
        rate,
        connections: NonZeroUsize::new(connections),
    }
}

/// `rate` and `burst`; the burst is as large as the count of the rate unless it is written or has a default.
pub(super) fn client_rate(
    section: &mut Section<'_>,
    default: Option<NonZeroU32>,
) -> Option<ClientRate> {
    let written = section.value("rate");
    let burst = section.value("burst");
    if let Some(burst) = &burst
        && written.is_none()
        && !section.has_misspelt(&["rate"])
    {
        let hint = "as in rate = \"10/m\"".to_owned();
        burst.problem("a burst without a `rate`", Some(hint));
    }
    let burst = burst.and_then(|burst| burst.count(1..=LARGEST_BURST));
    let burst = burst.and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
    let rate = written?.some_rate()?;
    Some(ClientRate {
        rate,
        burst: burst.or(default).unwrap_or(rate.count),
    })
}

/// The words of `[log] level`.
pub(super) const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The words of `[log] format`.
pub(super) const FORMATS: [(&str, log::Format); 2] =
    [("text", log::Format::Text), ("json", log::Format::Json)];

/// The words of `format` in `log.access`.
pub(super) const ACCESS_FORMATS: [(&str, access::Format); 3] = [
    ("combined", access::Format::Combined),
    ("common", access::Format::Common),
    ("json", access::Format::Json),
];

/// `[log]`.
pub(super) struct Log {
    pub(super) settings: log::Settings,
    pub(super) access: Option<AccessSettings>,
    pub(super) request_id: HeaderName,
}

/// `[log]`. `trust` says which header names the client, for it cannot be the same.
pub(super) fn log(document: &mut Section<'_>, trust: &Trust) -> Log {
    let mut settings = log::Settings::default();
    let mut access = None;
    let mut request_id = REQUEST_ID;
    document.table("log", "log", |section| {
        settings.level = section.choice("level", &LEVELS).unwrap_or(settings.level);
        settings.format = section
            .choice("format", &FORMATS)
            .unwrap_or(settings.format);
        access = section.value("access").and_then(|value| {
            if !value.is_table() {
                value.expected("a table", Some(ACCESS_EXAMPLE.to_owned()));
                return None;
            }
            value.table("log.access", access_log)?
        });
        if let Some(text) = section.text("request_id")
            && let Some(name) = header_of_ids(&text, trust)
        {
            request_id = name;
        }
    });
    Log {
        settings,
        access,
        request_id,
    }
}

fn header_of_ids(text: &Text<'_>, trust: &Trust) -> Option<HeaderName> {
    let name = text.parse(|name| HeaderName::try_from(name.to_ascii_lowercase()))?;
    let names_client = matches!(&trust.client_ip, ClientIpHeader::Named(client) if *client == name);
    if is_taken(&name) || names_client {
        let hint = "as in \"x-request-id\" or \"x-correlation-id\"".to_owned();
        text.problem("this header says something else", Some(hint));
        return None;
    }
    Some(name)
}

const ACCESS_EXAMPLE: &str =
    "as in { to = \"/var/log/tidegate/access.log\" }, or to = \"-\" for standard output";

fn access_log(section: &mut Section<'_>) -> Option<AccessSettings> {
    let format = section.choice("format", &ACCESS_FORMATS);
    let to = section.required("to")?.text()?;
    let to = match to.value.as_str() {
        "" => {
            to.problem(
                "an access log goes somewhere",
                Some(ACCESS_EXAMPLE.to_owned()),
            );
            return None;
        }
        "-" => Destination::Stdout,
        path => Destination::File(path.into()),
    };
    Some(AccessSettings {
        to,
        format: format.unwrap_or(access::Format::Combined),
    })
}
