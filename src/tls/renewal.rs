//! Renewed certificates are picked up while the gateway runs, and old ones told of before they end, whoever renews them.
//!
//! `app` starts it and ends it with the last connection. One task looks at the files of every certificate every five
//! seconds; it does not wait for events of the file system, which links and mounted folders keep to themselves. A new pair
//! is served from the next handshake on. One that is wrong, or not good today, changes nothing: as files are written one
//! after the other, it is told only if the next look finds no better one, and once for each change.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::files::{Files, Stamps, Unreadable};
use super::{Identity, Settings, Source, Standing};
use crate::base::metrics::Registry;
use crate::base::seldom::Seldom;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is said that a certificate ends soon, or has ended.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);

/// The task that looks at the files of all certificates.
#[derive(Debug)]
pub struct Renewal {
    task: JoinSet<()>,
    stop: CancellationToken,
    due: Arc<Notify>,
}

impl Renewal {
    /// Looks at the files of all these from now on.
    pub fn start(certificates: &[Arc<Settings>], registry: &Registry) -> Self {
        let failures = registry.counter_by_name(
            "tls_reload_failures",
            "Renewed certificates that could not be used, so that the old one stays",
        );
        let expiry = registry.gauge_by_name(
            "tls_certificate_expiry_seconds",
            "When the certificate in force ends, in seconds since 1970",
        );
        let watched = certificates.iter().map(|settings| {
            let label = [("tls", settings.name.clone())];
            let failures = failures.get_or_create(&label).clone();
            let expiry = expiry.get_or_create(&label).clone();
            Watched::new(Arc::clone(settings), failures, expiry)
        });
        let mut watched: Vec<_> = watched.collect();
        let (stop, due) = (CancellationToken::new(), Arc::new(Notify::new()));
        let mut task = JoinSet::new();
        if !watched.is_empty() {
            let (stop, due) = (stop.clone(), Arc::clone(&due));
            let looking = async move {
                loop {
                    for certificate in &mut watched {
                        certificate.look().await;
                    }
                    tokio::select! {
                        // Either is a reason to look; both are one.
                        biased;
                        () = due.notified() => {}
                        () = sleep(EVERY) => {}
                    }
                }
            };
            task.spawn(async move {
                let _stopped = stop.run_until_cancelled(looking).await;
            });
        }
        Self { task, stop, due }
    }

    /// Looks at once, and not only when it is time.
    pub fn look(&self) {
        self.due.notify_one();
    }

    /// Looks no more.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(Err(error)) = self.task.join_next().await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic())
        }
    }
}

/// One certificate and what is known of its files.
struct Watched {
    settings: Arc<Settings>,
    /// How the files looked when they were last read and good. `None` at the start: they may have changed since `config`
    /// read them.
    seen: Option<Stamps>,
    /// Whether the last look failed.
    failed: bool,
    /// How the files looked when it was last told that they are wrong.
    told: Option<Stamps>,
    reminder: Seldom,
    failures: Counter,
    expiry: Gauge,
}

impl Watched {
    fn new(settings: Arc<Settings>, failures: Counter, expiry: Gauge) -> Self {
        let watched = Self {
            settings,
            seen: None,
            failed: false,
            told: None,
            reminder: Seldom::every(REMIND),
            failures,
            expiry,
        };
        watched.measure();
        watched
    }

    async fn look(&mut self) {
        let now = Timestamp::now();
        let settings = Arc::clone(&self.settings);
        if let Source::Files(files) = &settings.source {
            self.look_at(files, now).await;
        }
        self.measure();
        self.remind(now);
    }

    async fn look_at(&mut self, files: &Files, now: Timestamp) {
        // Before the files are read: who writes meanwhile is found at the next look.
        let stamps = files.stamps().await;
        if self.seen == Some(stamps) {
            return;
        }
        let read = files.read().await;
        match read.and_then(|identity| self.take(identity, now)) {
            Ok(()) => (self.seen, self.failed, self.told) = (Some(stamps), false, None),
            Err(error) => self.fail(stamps, &error),
        }
    }

    /// Serves the new one from now on. One that no client would believe today is no better than a broken one; it is looked
    /// at again, for its time may come.
    fn take(&self, identity: Identity, now: Timestamp) -> Result<(), Unreadable> {
        let (old, validity) = (self.settings.identity.load(), identity.validity());
        if let Some(old) = &*old {
            if old.is_same(&identity) {
                return Ok(());
            }
            if old.validity().includes(now) && !validity.includes(now) {
                return Err(Unreadable::NotToday(validity));
            }
        }
        self.settings.identity.set(Some(identity));
        let not_after = validity.not_after;
        tracing::info!(tls = self.settings.name, %not_after, "Certificate renewed");
        Ok(())
    }

    fn fail(&mut self, stamps: Stamps, error: &Unreadable) {
        if self.failed && self.told != Some(stamps) {
            self.told = Some(stamps);
            self.failures.inc();
            let error: &(dyn Error + 'static) = error;
            tracing::error!(
                tls = self.settings.name,
                error,
                "Certificate not renewed, the old one stays"
            );
        }
        self.failed = true;
    }

    fn measure(&self) {
        if let Some(identity) = &*self.settings.identity.load() {
            let not_after = identity.validity().not_after;
            self.expiry.set(not_after.as_second());
        }
    }

    fn remind(&self, now: Timestamp) {
        let identity = self.settings.identity.load();
        let Some(validity) = identity.as_ref().as_ref().map(Identity::validity) else {
            return;
        };
        let standing = validity.at(now);
        if standing == Standing::Good || !self.reminder.now() {
            return;
        }
        let (tls, not_after) = (&*self.settings.name, validity.not_after);
        match standing {
            Standing::Good => {}
            Standing::EndsSoon => tracing::warn!(tls, %not_after, "Certificate ends soon"),
            Standing::Expired => tracing::warn!(tls, %not_after, "Certificate has ended"),
            Standing::Early => {
                let not_before = validity.not_before;
                tracing::warn!(tls, %not_before, "Certificate is not good yet");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::base::live::Live;
    use crate::tls::MinVersion;

    /// A certificate that ends in this year, and its key, as PEM.
    fn made(year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["site.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let new = folder.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }

    /// Files with a certificate, and what looks at them.
    async fn watched(folder: &Path, year: i32) -> Watched {
        let (cert, key) = made(year);
        write(folder, "cert.pem", &cert);
        write(folder, "key.pem", &key);
        let files = Files {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        let identity = files.read().await.unwrap();
        let settings = Settings {
            name: "main".to_owned(),
            source: Source::Files(files),
            min_version: MinVersion::Tls12,
            clients: None,
            identity: Live::new(Some(identity)),
        };
        Watched::new(Arc::new(settings), Counter::default(), Gauge::default())
    }

    fn year(watched: &Watched) -> String {
        let served = (*watched.settings.identity.load()).clone().unwrap();
        let served = served.validity().not_after;
        assert_eq!(watched.expiry.get(), served.as_second());
        served.strftime("%Y").to_string()
    }

    #[tokio::test]
    async fn a_new_pair_is_taken_once_both_halves_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = watched(folder.path(), 2040).await;
        assert_eq!(year(&watched), "2040");
        watched.look().await;
        let served = watched.settings.identity.load();

        // The same once more is nothing new.
        let cert = fs::read_to_string(folder.path().join("cert.pem")).unwrap();
        write(folder.path(), "cert.pem", &cert);
        watched.look().await;
        assert!(Arc::ptr_eq(&served, &watched.settings.identity.load()));

        let (cert, key) = made(2050);
        write(folder.path(), "cert.pem", &cert);
        watched.look().await;
        assert_eq!(year(&watched), "2040");
        write(folder.path(), "key.pem", &key);
        watched.look().await;
        assert_eq!((&*year(&watched), watched.failures.get()), ("2050", 0));
    }

    #[tokio::test]
    async fn what_stays_wrong_is_told_once_for_each_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = watched(folder.path(), 2040).await;
        let (mut told, (cert, _)) = (0, made(2050));
        let wrong = [
            Some("nonsense"),
            Some(&*cert),
            Some("-----BEGIN CERTIFICATE-----\n"),
            None,
        ];
        for text in wrong {
            match text {
                Some(text) => write(folder.path(), "cert.pem", text),
                None => fs::remove_file(folder.path().join("cert.pem")).unwrap(),
            }
            watched.look().await;
            watched.look().await;
            told += 1;
            assert_eq!(watched.failures.get(), told, "{text:?}");
            watched.look().await;
            assert_eq!((watched.failures.get(), &*year(&watched)), (told, "2040"));
        }
        fs::create_dir(folder.path().join("cert.pem")).unwrap();
        watched.look().await;
        assert_eq!(watched.failures.get(), told + 1);
        fs::remove_dir(folder.path().join("cert.pem")).unwrap();
        write(folder.path(), "cert.pem", &"x".repeat((1 << 20) + 1));
        watched.look().await;
        assert_eq!(watched.failures.get(), told + 2);

        let (cert, key) = made(2060);
        write(folder.path(), "cert.pem", &cert);
        write(folder.path(), "key.pem", &key);
        watched.look().await;
        assert_eq!(
            (watched.failures.get(), &*year(&watched)),
            (told + 2, "2060")
        );
    }

    #[tokio::test]
    async fn a_good_one_does_not_give_way_to_one_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let replace = |year: i32| {
            let (cert, key) = made(year);
            write(folder.path(), "cert.pem", &cert);
            write(folder.path(), "key.pem", &key);
        };
        let mut good = watched(folder.path(), 2040).await;
        replace(2020);
        good.look().await;
        good.look().await;
        assert_eq!((good.failures.get(), &*year(&good)), (1, "2040"));

        // One that is no better than it is not kept.
        let mut ended = watched(folder.path(), 2010).await;
        replace(2020);
        ended.look().await;
        assert_eq!((ended.failures.get(), &*year(&ended)), (0, "2020"));
    }

    #[tokio::test]
    async fn a_link_that_points_elsewhere_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = watched(folder.path(), 2040).await;
        let link = |number: u32, (cert, key): (String, String)| {
            for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
                let archived = folder.path().join(format!("{number}-{name}"));
                fs::write(&archived, text).unwrap();
                std::os::unix::fs::symlink(archived, folder.path().join("new")).unwrap();
                fs::rename(folder.path().join("new"), folder.path().join(name)).unwrap();
            }
        };
        for (number, end) in [(1, 2050), (2, 2060)] {
            link(number, made(end));
            watched.look().await;
            assert_eq!(year(&watched), end.to_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_told_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let watched = watched(folder.path(), 2040).await;
        let before = |text: &str| watched.remind(text.parse().unwrap());
        before("2039-12-01T00:00:00Z");
        // Nothing was said: it may be now.
        assert!(watched.reminder.now());
        tokio::time::advance(REMIND).await;
        before("2039-12-31T00:00:00Z");
        assert!(!watched.reminder.now());
    }
}
