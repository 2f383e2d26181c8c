//! The registry of metrics. Each module makes its own and registers it here; `console` prints them.
//!
//! Names are `tidegate_<area>_<thing>[_<unit>][_total]`; the client library appends `_total` to counters by itself.
//! Labels are closed sets: never a channel, an id, an address or a raw path.

use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry;

use super::sync::lock;

/// A family of counters told apart by one label.
pub type CounterBy = Family<[(&'static str, &'static str); 1], Counter>;

/// A family of counters told apart by one label whose values come from the configuration.
pub type CounterByName = Family<[(&'static str, String); 1], Counter>;

/// A family of gauges told apart by one label whose values come from the configuration.
pub type GaugeByName = Family<[(&'static str, String); 1], Gauge>;

/// A family of histograms told apart by one label whose values come from the configuration.
pub type HistogramBy = Family<[(&'static str, String); 1], Histogram>;

/// All metrics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Mutex<registry::Registry>>);

impl Default for Registry {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(registry::Registry::with_prefix(
            "tidegate",
        ))))
    }
}

impl Registry {
    /// Makes and registers a counter; `_total` is appended to its name.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        lock(&self.0).register(name, help, counter.clone());
        counter
    }

    /// Makes and registers counters with one label.
    pub fn counter_by(&self, name: &str, help: &str) -> CounterBy {
        let family = CounterBy::default();
        lock(&self.0).register(name, help, family.clone());
        family
    }

    /// Makes and registers counters with one label whose values come from the configuration.
    pub fn counter_by_name(&self, name: &str, help: &str) -> CounterByName {
        let family = CounterByName::default();
        lock(&self.0).register(name, help, family.clone());
        family
    }

    /// Makes and registers a gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        lock(&self.0).register(name, help, gauge.clone());
        gauge
    }

    /// Makes and registers gauges with one label whose values come from the configuration.
    pub fn gauge_by_name(&self, name: &str, help: &str) -> GaugeByName {
        let family = GaugeByName::default();
        lock(&self.0).register(name, help, family.clone());
        family
    }

    /// Makes and registers histograms of seconds with one label: 1 ms to 64 s in powers of two.
    pub fn seconds_by(&self, name: &str, help: &str) -> HistogramBy {
        let family = HistogramBy::new_with_constructor(|| {
            Histogram::new((0..17).map(|power| 0.001 * f64::from(1_u32 << power)))
        });
        lock(&self.0).register(name, help, family.clone());
        family
    }

    /// Registers metrics that are made whenever they are read.
    pub fn collector(&self, collector: Box<dyn Collector>) {
        lock(&self.0).register_collector(collector);
    }

    /// Registers a metric whose one value is 1 and whose labels tell something.
    pub fn info(&self, name: &str, help: &str, labels: Vec<(&'static str, String)>) {
        let info = prometheus_client::metrics::info::Info::new(labels);
        lock(&self.0).register(name, help, info);
    }

    /// Everything, as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &lock(&self.0)).expect("writing into a string cannot fail");
        text
    }
}

/// The counters of a family by the class of a status, found without a look at the labels.
#[derive(Debug, Clone)]
pub struct StatusCounters([Counter; 5]);

impl StatusCounters {
    /// Makes all counters of `family`, whose label is `status`.
    pub fn new(family: &CounterBy) -> Self {
        let counter = |class| family.get_or_create(&[("status", class)]).clone();
        Self(CLASSES.map(counter))
    }

    /// Counts an answer.
    pub fn count(&self, status: http::StatusCode) {
        if let Some(counter) = self.0.get(class(status)) {
            counter.inc();
        }
    }
}

/// One more in a gauge for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Adds one now, takes it back when dropped.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The label of an HTTP status: its class.
pub fn status_class(status: http::StatusCode) -> &'static str {
    CLASSES.get(class(status)).copied().unwrap_or("5xx")
}

/// The place of a status among the classes; what is above 599 counts as 5xx.
fn class(status: http::StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}
