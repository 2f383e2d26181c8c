//! What looks after the certificate of one table, for as long as the gateway runs.
//!
//! It orders when there is none, when it is not for all names, when it has ended, and at a moment in the window of the
//! authority, which is asked every few hours. A failure changes nothing but the next moment. No wait is longer than an hour,
//! for the clock of the machine may be set meanwhile.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::CertificateIdentifier;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use super::Failed;
use super::cache::Cache;
use super::client::Http;
use super::order::Ordering;
use super::renewal_info::{self, USUALLY};
use super::when::{self, Window};
use crate::base::metrics::CounterBy;
use crate::tls::{Acme, Challenge, Identity, Settings};

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// What is between an order that was good and the next, if a third of the life is not less: no word of an authority makes
/// us order in circles.
const REST: SignedDuration = SignedDuration::from_hours(1);

/// Looks after one table.
pub(super) struct Task {
    settings: Arc<Settings>,
    acme: Acme,
    cache: Cache,
    http: Http,
    ways: Vec<Challenge>,
    accounts: Arc<Mutex<()>>,
    outcomes: CounterBy,
    /// In a row.
    failures: u32,
    /// When to try again after the last of them.
    retry: Option<Timestamp>,
    /// Before that the authority is to be left alone, whoever is in a hurry.
    not_before: Option<Timestamp>,
    /// The window, and the moment in it that was chosen once.
    planned: Option<(Window, Timestamp)>,
    /// When to ask for the window again. At the start: at once.
    ask: Timestamp,
}

impl Task {
    pub(super) fn new(
        settings: Arc<Settings>,
        acme: Acme,
        ways: Vec<Challenge>,
        accounts: Arc<Mutex<()>>,
        outcomes: CounterBy,
    ) -> Self {
        Self {
            cache: Cache::new(&acme, &settings.name),
            http: Http::new(acme.client.clone()),
            settings,
            acme,
            ways,
            accounts,
            outcomes,
            failures: 0,
            retry: None,
            not_before: None,
            planned: None,
            ask: Timestamp::MIN,
        }
    }

    /// To the end of the gateway. `due` is somebody who does not want to wait after a failure.
    pub(super) async fn run(mut self, due: Arc<Notify>) {
        loop {
            let next = self.step().await;
            let wait = Duration::try_from(next.duration_since(Timestamp::now()));
            tokio::select! {
                // Who is in a hurry first; both are a reason to look.
                biased;
                () = due.notified() => self.retry = None,
                () = sleep(wait.unwrap_or_default().min(LONGEST)) => {}
            }
        }
    }

    /// Does what is due, and tells when to look again.
    async fn step(&mut self) -> Timestamp {
        let held = self.settings.identity.load();
        let identity = held.as_ref().as_ref();
        let due = self.due(identity, Timestamp::now()).await;
        let wait = due.max(self.retry).max(self.not_before);
        let now = Timestamp::now();
        if let Some(wait) = wait
            && now < wait
        {
            // The authority is asked only about a certificate that there is.
            return due.map_or(wait, |_| wait.min(self.ask.max(now)));
        }
        let replaces = identity
            .and_then(Identity::first)
            .and_then(|first| CertificateIdentifier::try_from(first).ok());
        let mut ways = self.ways.clone();
        if let Ok(by) = usize::try_from(self.failures)
            && !ways.is_empty()
        {
            // What has failed is tried the other way.
            let by = by % ways.len();
            ways.rotate_left(by);
        }
        let ordering = Ordering {
            acme: &self.acme,
            cache: &self.cache,
            http: &self.http,
            ways,
            accounts: &self.accounts,
            replaces: replaces.map(CertificateIdentifier::into_owned),
        };
        let ordered = ordering.run().await;
        match ordered {
            Ok((identity, text)) => self.take(identity, text).await,
            Err(failed) => self.fail(&failed).await,
        }
    }

    /// When to order; `None` is at once.
    async fn due(&mut self, identity: Option<&Identity>, now: Timestamp) -> Option<Timestamp> {
        let identity = identity?;
        let validity = identity.validity();
        let mut names = self.acme.domains.iter();
        if names.any(|name| !identity.is_for(name)) || validity.not_after < now {
            return None;
        }
        if self.ask <= now {
            self.ask_for_window(identity, now).await;
        }
        let (_, moment) = self.planned.get_or_insert_with(|| {
            let window = Window::of(validity);
            (window, window.moment(validity, fastrand::f64()))
        });
        Some(*moment)
    }

    async fn ask_for_window(&mut self, identity: &Identity, now: Timestamp) {
        let again = |wait: Duration| now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.ask = again(USUALLY);
        let first = identity.first().map(CertificateIdentifier::try_from);
        let Some(Ok(id)) = first else { return };
        match renewal_info::ask(&self.http, &self.acme.directory, &id).await {
            Ok(Some((window, wait))) => {
                self.ask = again(wait);
                if self.planned.is_none_or(|(known, _)| known != window) {
                    let moment = window.moment(identity.validity(), fastrand::f64());
                    tracing::info!(tls = self.settings.name, %moment, "Renewal planned");
                    self.planned = Some((window, moment));
                }
            }
            Ok(None) => {}
            Err(failed) => {
                let error: &(dyn std::error::Error + 'static) = &failed;
                tracing::debug!(tls = self.settings.name, error, "Renewal not planned");
            }
        }
    }

    /// Serves it from now on; when to look again.
    async fn take(&mut self, identity: Identity, text: String) -> Timestamp {
        let validity = identity.validity();
        self.settings.identity.set(Some(identity));
        self.count("issued");
        let not_after = validity.not_after;
        tracing::info!(tls = self.settings.name, %not_after, "Certificate issued");
        if let Err(failed) = self.cache.keep_certificate(text).await {
            let error: &(dyn std::error::Error + 'static) = &failed;
            tracing::error!(
                tls = self.settings.name,
                error,
                "Certificate not kept: a restart orders it anew"
            );
        }
        let now = Timestamp::now();
        let rest = REST.min(validity.not_after.duration_since(now) / 3);
        let rest = now.checked_add(rest).unwrap_or(now);
        (self.failures, self.retry, self.planned) = (0, None, None);
        (self.not_before, self.ask) = (Some(rest), now);
        now
    }

    /// When to try again.
    async fn fail(&mut self, failed: &Failed) -> Timestamp {
        self.count(failed.outcome());
        self.failures = self.failures.saturating_add(1);
        let now = Timestamp::now();
        let pause = when::pause(self.failures, failed.is_limit(), fastrand::f64());
        let retry = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        self.not_before = self.http.take_not_before();
        let retry = self.not_before.map_or(retry, |asked| asked.max(retry));
        self.retry = Some(retry);
        self.tell(failed, retry);
        if failed.is_unknown_account()
            && let Err(failed) = self.cache.forget_account().await
        {
            let error: &(dyn std::error::Error + 'static) = &failed;
            tracing::error!(tls = self.settings.name, error, "Account not forgotten");
        }
        retry
    }

    fn tell(&self, failed: &Failed, again: Timestamp) {
        let error: &(dyn std::error::Error + 'static) = failed;
        tracing::error!(
            tls = self.settings.name,
            error,
            failures = self.failures,
            %again,
            "No new certificate, trying again"
        );
    }

    fn count(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&[("outcome", outcome)]).inc();
    }
}
