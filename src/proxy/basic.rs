//! Routes that only some people may see, by name and password.
//!
//! `Proxy::admit` checks before anything else is done for a request. A check of a hash takes long by design, so it runs on
//! a thread of its own, and what was right is remembered for a while. Bounds: [`AT_ONCE`] checks, whoever waits for their
//! answers; [`WAITING`] requests that wait for a check, each no longer than [`PATIENCE`]; [`REMEMBERED`] logins for each
//! route. What is beyond is refused with 503. Wrong logins are counted against a rate of their client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use prometheus_client::metrics::counter::Counter;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::respond::Refusal;
use crate::base::metrics::{CounterBy, Registry};
use crate::base::random;
use crate::base::sync::lock;
use crate::limits::{ClientLimit, ClientRate, Rate, Slots};
use crate::tokens::passwords::Users;
use crate::wire::basic::{Login, NoLogin};

/// Checks at the same time: each takes a processor, and with argon2 tens of MiB.
const AT_ONCE: usize = 2;
/// Requests that wait for a check.
const WAITING: usize = 64;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long a login that was right is not checked again.
const LIFE: Duration = Duration::from_secs(60);
/// Logins of one route that are remembered.
const REMEMBERED: usize = 1024;
/// Wrong logins of one client on one route: so many in a minute, and so many at once.
const WRONG: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// `basic_auth` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuthSettings {
    /// What the browser says that the password is for. Default "restricted".
    pub realm: String,
    /// The challenge with that.
    pub challenge: HeaderValue,
    /// At least one.
    pub users: Arc<Users>,
    /// Whether Django is sent the login. Default no.
    pub pass_on: bool,
}

/// Who may see a route.
#[derive(Debug)]
pub struct BasicAuth {
    pub(super) settings: BasicAuthSettings,
    /// What the logins that are remembered are hashed with; nobody knows it.
    key: hmac::Key,
    remembered: Mutex<HashMap<Digest, Instant>>,
    wrong: ClientLimit,
}

/// A login, as it is remembered.
type Digest = [u8; 32];

impl BasicAuth {
    /// Nobody is remembered yet. `shared` counts what newcomers do for whom a rate had no room.
    pub fn new(settings: BasicAuthSettings, shared: Counter) -> Self {
        let secret = [random::unguessable(), random::unguessable()].map(u128::to_ne_bytes);
        let rate = ClientRate {
            rate: Rate {
                count: WRONG,
                per: Duration::from_secs(60),
            },
            burst: WRONG,
        };
        Self {
            settings,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_flattened()),
            remembered: Mutex::default(),
            wrong: ClientLimit::new(rate, shared),
        }
    }

    fn digest(&self, login: &Login) -> Digest {
        let tag = hmac::sign(&self.key, login.as_bytes());
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn knows(&self, digest: &Digest) -> bool {
        let remembered = lock(&self.remembered);
        remembered
            .get(digest)
            .is_some_and(|since| since.elapsed() < LIFE)
    }

    fn remember(&self, digest: Digest) {
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= REMEMBERED {
            remembered.retain(|_, since| since.elapsed() < LIFE);
        }
        if remembered.len() < REMEMBERED {
            remembered.insert(digest, Instant::now());
        }
    }

    fn challenge(&self) -> Refusal {
        Refusal::Login(self.settings.challenge.clone())
    }
}

/// What checks logins, for all routes together.
#[derive(Debug)]
pub(super) struct Checks {
    running: Slots,
    waiting: Slots,
    failed: CounterBy,
}

impl Checks {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            running: Slots::new(AT_ONCE),
            waiting: Slots::new(WAITING),
            failed: registry.counter_by(
                "basic_auth_failures",
                "Logins that were not let in, by reason",
            ),
        }
    }

    /// Lets a request with a right login through, without its login unless Django is to see it.
    pub(super) async fn admit(
        &self,
        auth: &Arc<BasicAuth>,
        headers: &mut HeaderMap,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        let login = match Login::of_request(headers) {
            Ok(login) => login,
            // So begins every login.
            Err(NoLogin::Missing) => return Err(auth.challenge()),
            Err(NoLogin::Unreadable) => {
                self.count("unreadable");
                return Err(auth.challenge());
            }
        };
        let digest = auth.digest(&login);
        if !auth.knows(&digest) {
            self.check(auth, login, digest, client).await?;
        }
        if !auth.settings.pass_on {
            headers.remove(AUTHORIZATION);
        }
        Ok(())
    }

    async fn check(
        &self,
        auth: &Arc<BasicAuth>,
        login: Login,
        digest: Digest,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        let busy = || {
            self.count("busy");
            Refusal::Busy
        };
        let waiting = self.waiting.take().ok_or_else(busy)?;
        let slot = timeout(PATIENCE, self.running.wait()).await;
        let slot = slot.map_err(|_| busy())?;
        drop(waiting);
        // A page brings many requests along, and the first of them was checked meanwhile.
        if auth.knows(&digest) {
            return Ok(());
        }
        // Counted before it is known to be wrong, or many at once would get past the rate.
        auth.wrong.take(client).map_err(|wait| {
            self.count("limited");
            Refusal::Rate(wait)
        })?;
        let checking = Arc::clone(auth);
        let checked = spawn_blocking(move || {
            let is_right = checking
                .settings
                .users
                .verify(login.name(), login.password());
            // Here, for a client that leaves meanwhile was not wrong either.
            if is_right {
                checking.wrong.give_back(client);
                checking.remember(digest);
            }
            // Not before: a client that leaves does not stop the check.
            drop(slot);
            is_right
        });
        match checked.await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.count("wrong");
                Err(auth.challenge())
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The process is ending.
                Err(_) => Err(Refusal::Busy),
            },
        }
    }

    fn count(&self, reason: &'static str) {
        self.failed.get_or_create(&[("reason", reason)]).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::tokens::passwords::Hash;

    fn auth(pass_on: bool) -> Arc<BasicAuth> {
        let mut users = Users::default();
        let hash = bcrypt::hash("right", 4).unwrap();
        assert!(users.add("ann", Hash::parse(&hash).unwrap()));
        let settings = BasicAuthSettings {
            realm: "x".to_owned(),
            challenge: HeaderValue::from_static("Basic realm=\"x\""),
            users: Arc::new(users),
            pass_on,
        };
        Arc::new(BasicAuth::new(settings, Counter::default()))
    }

    fn headers(password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("ann:{password}")));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    async fn admit(checks: &Checks, auth: &Arc<BasicAuth>, password: &str) -> Result<(), Refusal> {
        let client = IpAddr::from([10, 0, 0, 1]);
        checks.admit(auth, &mut headers(password), client).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_login_is_remembered_for_a_while() {
        let (checks, auth) = (Checks::new(&Registry::default()), auth(false));
        assert!(admit(&checks, &auth, "right").await.is_ok());
        let digest = *lock(&auth.remembered).keys().next().unwrap();
        assert!(auth.knows(&digest));
        // No check is needed, so that it does not matter that there is no place for one.
        let all = [checks.running.wait().await, checks.running.wait().await];
        assert!(admit(&checks, &auth, "right").await.is_ok());
        tokio::time::advance(LIFE).await;
        assert!(!auth.knows(&digest));
        drop(all);
        assert!(admit(&checks, &auth, "right").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_or_behind_too_many_is_refused() {
        let (checks, auth) = (Checks::new(&Registry::default()), auth(false));
        let all = [checks.running.wait().await, checks.running.wait().await];
        assert!(matches!(
            admit(&checks, &auth, "right").await,
            Err(Refusal::Busy)
        ));
        let queue: Vec<_> = (0..WAITING)
            .map(|_| checks.waiting.take().unwrap())
            .collect();
        drop(all);
        assert!(matches!(
            admit(&checks, &auth, "right").await,
            Err(Refusal::Busy)
        ));
        drop(queue);
        assert!(admit(&checks, &auth, "right").await.is_ok());
    }

    #[tokio::test]
    async fn no_more_logins_are_remembered_than_there_is_room_for() {
        let auth = auth(false);
        for number in 0..=REMEMBERED {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&number.to_be_bytes());
            auth.remember(digest);
        }
        assert_eq!(lock(&auth.remembered).len(), REMEMBERED);
    }

    #[tokio::test]
    async fn the_login_is_taken_off_unless_django_is_to_see_it() {
        let checks = Checks::new(&Registry::default());
        for pass_on in [false, true] {
            let mut headers = headers("right");
            let client = IpAddr::from([10, 0, 0, 1]);
            let admitted = checks.admit(&auth(pass_on), &mut headers, client).await;
            assert!(admitted.is_ok());
            assert_eq!(headers.contains_key(AUTHORIZATION), pass_on);
        }
    }

    #[tokio::test]
    async fn only_wrong_logins_count_against_a_client() {
        let (checks, auth) = (Checks::new(&Registry::default()), auth(false));
        for _ in 0..30 {
            lock(&auth.remembered).clear();
            assert!(admit(&checks, &auth, "right").await.is_ok());
        }
        for _ in 0..WRONG.get() {
            let refused = admit(&checks, &auth, "wrong").await;
            assert!(matches!(refused, Err(Refusal::Login(_))));
        }
        for password in ["wrong", "other"] {
            let refused = admit(&checks, &auth, password).await;
            assert!(matches!(refused, Err(Refusal::Rate(_))));
        }
    }

    #[tokio::test]
    async fn who_leaves_while_a_right_login_is_checked_was_not_wrong() {
        let (checks, auth) = (Checks::new(&Registry::default()), auth(false));
        for _ in 0..WRONG.get() {
            lock(&auth.remembered).clear();
            let mut left = Box::pin(admit(&checks, &auth, "right"));
            let mut cx = Context::from_waker(Waker::noop());
            // Where the check is quicker than we are, nobody leaves.
            let polled = left.as_mut().poll(&mut cx);
            assert!(!matches!(polled, Poll::Ready(Err(_))));
            drop(left);
            // Nobody waits for the check, and it is done all the same.
            drop([checks.running.wait().await, checks.running.wait().await]);
        }
        lock(&auth.remembered).clear();
        assert!(admit(&checks, &auth, "right").await.is_ok());
    }
}
