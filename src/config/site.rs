//! `[server]`, `[trust]`, `[limits]` and `[log]`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use tracing_subscriber::filter::LevelFilter;

use super::Trust;
use super::later::unsupported;
use super::reader::Section;
use super::scalar::Text;
use crate::base::access::Destination;
use crate::base::log;
use crate::domain::ByteSize;
use crate::limits::ClientRate;
use crate::proxy::AccessSettings;
use crate::server;
use crate::wire::access;
use crate::wire::forwarded::ClientIpHeader;
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
pub(super) fn server(document: &mut Section<'_>, settings: &mut server::Settings) -> Site {
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

fn host(text: &Text<'_>) -> Option<HostRule> {
    if let Some(below) = text.value.strip_prefix("*.") {
        let message = format!("{} is not how a host is written", text.written());
        text.problem(message, Some(format!("did you mean \".{below}\"?")));
        return None;
    }
    text.parse(HostRule::parse)
}

/// `[trust]`.
pub(super) fn trust(document: &mut Section<'_>) -> Trust {
    let mut trust = Trust::default();
    document.table("trust", "trust", |section| {
        let proxies = section.value("proxies").and_then(|value| value.texts());
        for text in proxies.unwrap_or_default() {
            if text.value == "unix:" {
                trust.unix = true;
            } else {
                trust.proxies.extend(network(&text));
            }
        }
        if let Some(text) = section.text("client_ip") {
            let name = text.parse(|name| HeaderName::try_from(name.to_ascii_lowercase()));
            match name {
                Some(name) if name == "proxy-protocol" => {
                    text.problem(unsupported("\"proxy-protocol\""), None);
                }
                Some(name) if name != "x-forwarded-for" => {
                    trust.client_ip = ClientIpHeader::Named(name);
                }
                _ => {}
            }
        }
    });
    trust
}

fn network(text: &Text<'_>) -> Option<IpNet> {
    if text.value.starts_with("cloudflare:") {
        text.problem(unsupported("a list of addresses in a file"), None);
        return None;
    }
    let network = text.value.parse::<IpNet>().ok();
    let found = network.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from));
    if found.is_none() {
        let hint = "as in \"10.0.0.0/8\", \"10.1.2.3\", or \"unix:\" for unix sockets".to_owned();
        text.problem(format!("{} is no network", text.written()), Some(hint));
    }
    found
}

/// The burst of `limits.rate`, unless the file has another.
const BURST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
/// The largest burst.
const LARGEST_BURST: usize = 1_000_000;

/// `[limits]` into the server's settings; the result is the largest body of a request, and how often a client may come.
pub(super) fn limits(
    document: &mut Section<'_>,
    settings: &mut server::Settings,
) -> (ByteSize, Option<ClientRate>) {
    let mut body = ByteSize::mib(10);
    let mut rate = None;
    document.table("limits", "limits", |section| {
        section.size("body", ByteSize::bytes(0)..=MOST, &mut body);
        let header = ByteSize::kib(1)..=ByteSize::mib(16);
        section.size("header", header, &mut settings.header);
        section.some_time("header_timeout", &mut settings.header_timeout);
        section.some_time("body_idle", &mut settings.body_idle);
        section.some_time("keepalive", &mut settings.keepalive);
        rate = client_rate(section, Some(BURST));
    });
    (body, rate)
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
pub(super) fn log(document: &mut Section<'_>) -> (log::Settings, Option<AccessSettings>) {
    let mut settings = log::Settings::default();
    let mut access = None;
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
    });
    (settings, access)
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
