//! The command line.

use std::net::SocketAddrV4;

use clap::{Args, Parser, Subcommand};

/// Load generator, floor server and origin of Tidegate's benches.
#[derive(Debug, Parser)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Puts load on a server and measures it.
    #[command(subcommand)]
    Load(Load),
    /// The least an epoll server can do: GET .../CHANNEL listens, POST .../CHANNEL is sent to each listener.
    Floor(FloorOptions),
    /// An origin: /small, /big, /ask/.../CHANNEL for the gateway, /events/CHANNEL for Pushpin.
    Origin(OriginOptions),
}

#[derive(Debug, Subcommand)]
pub enum Load {
    /// Opens streams, says so, and holds them until the end of standard input.
    Hold(HoldOptions),
    /// Opens streams, publishes, and checks and times every delivery.
    Fanout(FanoutOptions),
    /// Opens streams and closes each as soon as it is there.
    Churn(ChurnOptions),
    /// Asks for one page over keep-alive connections, again and again.
    Proxy(ProxyOptions),
    /// Asks for one page, each time over a new connection.
    Handshakes(HandshakesOptions),
}

/// The streams to open.
#[derive(Debug, Args)]
pub struct StreamOptions {
    /// `http://` or `https://`, an address and a path; `{i}` in it is the number of the channel.
    #[arg(long)]
    pub url: String,
    /// How many streams.
    #[arg(long, short = 'n')]
    pub streams: usize,
    /// How many channels they are spread over in turn; 0 is one for each stream.
    #[arg(long, default_value_t = 0)]
    pub channels: usize,
    /// How many may be on their way at the same time.
    #[arg(long, default_value_t = 128)]
    pub at_once: usize,
    /// How many may be refused, or closed while they open, and are then opened again; one more ends the run.
    #[arg(long, default_value_t = 0)]
    pub tolerate: usize,
}

#[derive(Debug, Args)]
pub struct HoldOptions {
    #[command(flatten)]
    pub streams: StreamOptions,
    /// HTTP/2 by prior knowledge, with so many streams on each connection.
    #[arg(long)]
    pub http2: Option<usize>,
    /// Instead of streams keep-alive connections that have asked once for a page, of this length.
    #[arg(long, conflicts_with = "http2")]
    pub page: Option<u64>,
}

#[derive(Debug, Args)]
pub struct FanoutOptions {
    #[command(flatten)]
    pub streams: StreamOptions,
    /// Where to POST; `{i}` is the number of the channel.
    #[arg(long)]
    pub publish: String,
    /// The body of a publish; `{i}` is the number of the channel, `{payload}` what is delivered.
    #[arg(long, default_value = "{payload}")]
    pub body: String,
    /// The content type of a publish.
    #[arg(long, default_value = "text/plain")]
    pub content_type: String,
    /// How many publishers there are, each with one publish in flight.
    #[arg(long, short, default_value_t = 1)]
    pub publishers: usize,
    /// Publishes per second over all publishers; without it as fast as they are answered.
    #[arg(long)]
    pub rate: Option<f64>,
    /// For how many seconds to publish.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Publish only when all that was published has been delivered to everybody.
    #[arg(long)]
    pub in_turn: bool,
    /// The most publishes.
    #[arg(long)]
    pub publishes: Option<u32>,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 200)]
    pub size: usize,
    /// How many seconds without a delivery end the waiting for those that are owed.
    #[arg(long, default_value_t = 5.0)]
    pub patience: f64,
    /// Wait for a line on standard input before publishing, and for its end before leaving.
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct ChurnOptions {
    #[command(flatten)]
    pub streams: StreamOptions,
}

#[derive(Debug, Args)]
pub struct ProxyOptions {
    /// The page.
    #[arg(long)]
    pub url: String,
    /// Keep-alive connections, each with one request in flight.
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// For how many seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// The length each answer must have.
    #[arg(long)]
    pub length: u64,
    /// Requests per second over all connections; without it as fast as they are answered.
    #[arg(long)]
    pub rate: Option<f64>,
}

#[derive(Debug, Args)]
pub struct HandshakesOptions {
    /// The page; `https://`, or `http://` for connections alone.
    #[arg(long)]
    pub url: String,
    /// The length each answer must have.
    #[arg(long)]
    pub length: u64,
    /// Connections per second; without it as fast as they are answered.
    #[arg(long)]
    pub rate: Option<f64>,
    /// For how many seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// How many may be on their way at the same time.
    #[arg(long, default_value_t = 64)]
    pub at_once: usize,
    /// Resume sessions, as browsers do.
    #[arg(long)]
    pub resumed: bool,
}

#[derive(Debug, Args)]
pub struct FloorOptions {
    /// Where to listen.
    #[arg(long)]
    pub listen: SocketAddrV4,
    /// Join what arrived in one round of epoll into one send for each listener.
    #[arg(long)]
    pub coalesce: bool,
}

#[derive(Debug, Args)]
pub struct OriginOptions {
    /// Where to listen.
    #[arg(long)]
    pub listen: SocketAddrV4,
}
