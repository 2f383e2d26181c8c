//! The composition root: builds every module from the bottom up, and ends them from the top down.
//!
//! `cli` calls [`Gateway::start`] with a checked configuration; the tests do the same in process. Nothing else knows all
//! modules.

mod build;
mod certificates;
mod changes;
mod drain;
mod in_force;
mod reload;
mod site;

pub use drain::Pace;
pub use reload::Source;
pub use site::site;

use std::io;
use std::sync::Arc;

use crate::base::access::{Destination, Lines, Writer};
use crate::base::descriptors;
use crate::base::metrics::Registry;
use crate::config::Config;
use crate::console::Readiness;
use crate::hub::Hub;
use crate::internal::Internal;
use crate::internal::reload::Reloads;
use crate::limits::Slots;
use crate::notify::Notifier;
use crate::proxy::{Collaborators, Proxy};
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::redis::Subscriber;
use crate::server::{Address, BindError, Listen, Listener, Metrics, Role, Server, Settings};
use crate::stream::Streams;

use certificates::Certificates;
use in_force::{InForce, Lasting};
use reload::{Reached, Reloading};

/// Descriptors that are not for client connections, but for listeners, internal connections, upstreams and temp files: a
/// tenth, at least so many.
const RESERVED_DESCRIPTORS: u64 = 512;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    hub: Hub,
    publisher: Publisher,
    readiness: Readiness,
    public: Server,
    internal: Server,
    proxy: Arc<Proxy>,
    recorder: Recorder,
    /// `None` without `log.access`.
    access: Option<Writer>,
    /// `None` without `sse.notify`.
    notifier: Option<Notifier>,
    /// `None` without `[[redis.listen]]`.
    subscriber: Option<Subscriber>,
    certificates: Certificates,
    addresses: Vec<(String, Address)>,
    reloads: Reloads,
    /// Has the configuration in force, and what it was made into.
    reloading: Reloading,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The access log could not be opened.
    #[error("the access log {to} could not be opened")]
    AccessLog {
        /// Where it should go.
        to: Destination,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// No runtime could be made.
    #[error("the runtime could not be started")]
    Runtime(#[source] io::Error),
}

impl Gateway {
    /// Binds every listener and serves them. Fails if any address is taken; then nothing is served. A reload asks `source`
    /// for the configuration.
    pub async fn start(config: Config, source: Source) -> Result<Self, StartError> {
        let registry = Registry::default();
        let settings = within_descriptors(&config.server);
        let most = settings.max_connections;

        let hub = build::hub(&config, &registry);
        let access = build::access(&config, &registry)?;
        build::look_for_publishers(&config);
        let to = config.access.as_ref().map(|access| access.to.clone());
        let lines = access.as_ref().map(Writer::lines).zip(to);
        let lasting = Lasting::new(lines, &build::room(&config), &registry);
        let made = InForce::new(config, &lasting, None);
        let config = &made.config;
        let publisher = Publisher::new(hub.clone(), config.publish.clone(), &registry);
        let notifier = build::notifier(&made, &hub, &registry);
        let subscriber = build::subscriber(config, &hub, &registry);
        let recorder = build::recorder(config, &hub, most, &registry);
        let collaborators = Collaborators {
            streams: Streams::new(hub.clone(), Slots::new(most), &registry),
            recorder: recorder.clone(),
            hub: hub.clone(),
            publisher: publisher.clone(),
            tunnels: Slots::new(most),
            challenges: build::challenges(config),
        };
        let proxy = Arc::new(Proxy::new(made.site(&lasting), collaborators, &registry));
        let readiness = Readiness::default();
        let console = build::console(config, &hub, &readiness, &registry);
        let (reloads, requests) = Reloads::new();
        let internal = Arc::new(Internal::new(
            build::admitted(config),
            build::places(config),
            publisher.clone(),
            console,
            reloads.clone(),
            &registry,
        ));

        let metrics = Metrics::new(&registry);
        let few = build::internal(&settings);
        let servers = (Server::new(settings, &metrics), Server::new(few, &metrics));
        Certificates::prepare(config).await;
        let mut addresses = Vec::new();
        for (listen, listener) in bind(&config.listen).await? {
            addresses.push((listen.name.clone(), listener.address()));
            tracing::info!(listen = listen.name, address = %listener.address(), role = ?listen.role, tls = !listen.tls.is_empty(), "Listening");
            match listen.role {
                Role::Public => servers.0.serve(listener, Arc::clone(&proxy)),
                Role::Internal => servers.1.serve(listener, Arc::clone(&internal)),
            }
        }
        let certificates = Certificates::start(&made.config, &registry);
        let reached = Reached {
            hub: hub.clone(),
            publisher: publisher.clone(),
            recorder: recorder.clone(),
            proxy: Arc::clone(&proxy),
            internal,
            servers: servers.clone(),
            hurry: certificates.hurry(),
            sender: notifier.as_ref().map(Notifier::sender),
        };
        let reloading = Reloading::start(requests, source, made, lasting, reached, &registry);
        readiness.set(true);
        let (public, internal) = servers;
        Ok(Self {
            hub,
            publisher,
            readiness,
            public,
            internal,
            proxy,
            recorder,
            access,
            notifier,
            subscriber,
            certificates,
            addresses,
            reloads,
            reloading,
        })
    }

    /// What has the configuration read anew.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// The lines of the access log, whose file may be opened again; `None` without one.
    pub fn access_lines(&self) -> Option<Lines> {
        self.access.as_ref().map(Writer::lines)
    }

    /// Looks now whether certificates were renewed, which it does every five seconds by itself.
    pub fn look_at_certificates(&self) {
        self.certificates.renewal.look();
    }

    /// What can be asked whether the gateway still accepts connections.
    pub fn servers(&self) -> [Server; 2] {
        [self.public.clone(), self.internal.clone()]
    }

    /// Where the listener `name` listens; the port is the real one.
    pub fn address(&self, name: &str) -> Option<&Address> {
        self.addresses
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, address)| address)
    }
}

/// All listeners, or none.
async fn bind(listen: &[Listen]) -> Result<Vec<(&Listen, Listener)>, BindError> {
    let mut bound = Vec::with_capacity(listen.len());
    for listen in listen {
        let listeners = Listener::bind(listen).await?;
        bound.extend(listeners.into_iter().map(|listener| (listen, listener)));
    }
    Ok(bound)
}

/// Descriptors that are not for client connections.
fn reserved_descriptors() -> u64 {
    RESERVED_DESCRIPTORS.max(descriptors::raise() / 10)
}

/// As many connections as there are descriptors for.
fn within_descriptors(settings: &Settings) -> Settings {
    let descriptors = descriptors::raise();
    let reserved = reserved_descriptors();
    let most = usize::try_from(descriptors.saturating_sub(reserved).max(64)).unwrap_or(usize::MAX);
    let wanted = settings.max_connections;
    // Nobody asked for the default in particular.
    if wanted > most && wanted != Settings::default().max_connections {
        tracing::warn!(
            max_connections = wanted,
            descriptors,
            hint = "raise the limit on open files (LimitNOFILE= of systemd, ulimit -n)",
            "Fewer connections than configured"
        );
    }
    tracing::info!(
        max_connections = wanted.min(most),
        descriptors,
        "Connections"
    );
    Settings {
        max_connections: settings.max_connections.min(most),
        ..settings.clone()
    }
}
