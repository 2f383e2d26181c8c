//! A whole gateway in this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::app::{self, Pace, Source};
use tidegate::config::{self, Config, ConfigError, Process};
use tidegate::internal::reload::Outcome;
use tidegate::server::Address;

use super::publisher::Publisher;
use super::{until, within};

pub struct Gateway {
    running: app::Gateway,
    /// The public listener over TCP.
    pub public: Address,
    /// The internal listener over TCP.
    pub internal: Address,
    /// The public listener on a unix socket.
    pub public_unix: Address,
    /// The internal listener on a unix socket.
    pub internal_unix: Address,
    /// Whether held streams are written past the HTTP library.
    pub has_fast_path: bool,
    /// What a reload reads, without `version` and listeners.
    file: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Gateway {
    /// Starts one. `text` is the file without `version` and listeners.
    pub async fn start(text: &str) -> Self {
        Self::start_with("", text).await
    }

    /// Starts one whose public listener has more keys.
    pub async fn start_with(listen: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = |name: &str| directory.path().join(name).display().to_string();
        let listeners = format!(
            "version = 1\n\
             [listen.http]\naddress = \"127.0.0.1:0\"\n{listen}\n\
             [listen.http_unix]\naddress = \"unix:{}\"\n\
             [listen.internal]\naddress = \"127.0.0.1:0\"\nrole = \"internal\"\n\
             [listen.internal_unix]\naddress = \"unix:{}\"\nrole = \"internal\"\n",
            socket("http.sock"),
            socket("internal.sock"),
        );
        let config = read(&listeners, text).unwrap_or_else(|error| {
            let ConfigError::Invalid { problems, .. } = error else {
                panic!("{error}")
            };
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", all.join("\n"))
        });
        let has_fast_path = config.server.fast_path;
        let file = Arc::new(Mutex::new(text.to_owned()));
        let source = Arc::clone(&file);
        let source = Source::new(move || read(&listeners, &source.lock().unwrap()));
        let running = app::Gateway::start(config, source).await.unwrap();
        let address = |name| running.address(name).unwrap().clone();
        Self {
            public: address("http"),
            internal: address("internal"),
            public_unix: address("http_unix"),
            internal_unix: address("internal_unix"),
            has_fast_path,
            file,
            running,
            _directory: directory,
        }
    }

    /// One that passes everything on to `server`, with more keys of its upstream.
    pub async fn before(server: &str, keys: &str) -> Self {
        Self::start(&everything_to(server, keys)).await
    }

    /// Where another listener of the file listens.
    pub fn address(&self, name: &str) -> Address {
        self.running.address(name).unwrap().clone()
    }

    /// Has another text in the file, which nobody reads yet.
    pub fn write(&self, text: &str) {
        text.clone_into(&mut self.file.lock().unwrap());
    }

    /// Has another text in the file, and has it read.
    pub async fn reload(&self, text: &str) -> Outcome {
        self.write(text);
        within("a reload", self.running.reloads().ask()).await
    }

    /// What SIGUSR1 does.
    pub fn reopen_access_log(&self) {
        self.running.access_lines().unwrap().reopen();
    }

    /// Has the files of certificates looked at before it is time.
    pub fn look_at_certificates(&self) {
        self.running.look_at_certificates();
    }

    pub async fn publisher(&self) -> Publisher {
        Publisher::new(&self.internal).await
    }

    /// Waits until no body waits in memory or in a temp file.
    pub async fn until_no_body_waits(&self) {
        let mut publisher = self.publisher().await;
        until("all room for bodies is given back", async || {
            let metrics = publisher.get("/metrics").await;
            let is_free = |room| {
                let line = format!("tidegate_buffers_{room}_bytes 0");
                metrics.text().lines().any(|other| other == line)
            };
            is_free("memory") && is_free("files")
        })
        .await;
    }

    /// The gentle end, as `server.drain` says.
    pub async fn drain(self) {
        within("the end of the gateway", self.running.stop(Pace::Gentle)).await;
    }

    /// The quick end; how long it took.
    pub async fn stop(self) -> Duration {
        let before = tokio::time::Instant::now();
        within("the end of the gateway", self.running.stop(Pace::Quick)).await;
        before.elapsed()
    }
}

fn read(listeners: &str, text: &str) -> Result<Config, ConfigError> {
    let whole = format!("{listeners}{text}\n");
    let mut config = config::parse(&whole, &Process).map_err(|problems| ConfigError::Invalid {
        path: "gateway.toml".into(),
        problems,
    })?;
    // `tests/run` goes both ways.
    if std::env::var("TESTS_FAST_PATH").is_ok_and(|wanted| wanted == "false") {
        config.server.fast_path = false;
    }
    Ok(config)
}

/// Several servers where one is expected.
pub fn servers<const N: usize>(all: [&str; N]) -> String {
    all.join("\", \"")
}

/// The upstream `django` at `server` with more keys.
pub fn upstream(server: &str, keys: &str) -> String {
    format!("[upstream.django]\nservers = [\"{server}\"]\n{keys}\n")
}

/// A file whose one route leads to `server`.
pub fn everything_to(server: &str, keys: &str) -> String {
    format!("{}{PROXY}", upstream(server, keys))
}

/// The route that leads everything to `django`.
pub const PROXY: &str = "[[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n";
