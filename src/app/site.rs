//! The site that a configuration describes, though nothing of it runs: for who asks what would become of a request.

use super::build;
use super::in_force::{InForce, Lasting};
use crate::base::metrics::Registry;
use crate::config::Config;
use crate::proxy::Site;

/// What requests would find. No listener is bound, nobody is dialled, and no server is asked whether it is well.
pub fn site(mut config: Config) -> Site {
    for upstream in &mut config.upstreams {
        upstream.health = None;
    }
    let lasting = Lasting::new(None, &build::room(&config), &Registry::default());
    InForce::new(config, &lasting, None).site(&lasting)
}
