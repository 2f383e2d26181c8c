//! Those who look after certificates: the files are looked at, and what ACME gives is ordered.

use super::build;
use crate::acme::{self, Hurry, Orders};
use crate::base::metrics::Registry;
use crate::config::Config;
use crate::tls::Renewal;

/// Both.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) renewal: Renewal,
    orders: Orders,
}

impl Certificates {
    /// Has there be what can be there before anybody is served.
    pub(super) async fn prepare(config: &Config) {
        for settings in &config.tls {
            settings.prepare();
        }
        acme::serve_what_is_kept(&config.tls).await;
    }

    /// Begins once there are listeners, by which it can be looked whether names are ours.
    pub(super) fn start(config: &Config, registry: &Registry) -> Self {
        Self {
            renewal: Renewal::start(&config.tls, registry),
            orders: Orders::start(build::ordered(config), registry),
        }
    }

    pub(super) fn hurry(&self) -> Hurry {
        self.orders.hurry()
    }

    pub(super) async fn stop(self) {
        self.renewal.stop().await;
        self.orders.stop().await;
    }
}
