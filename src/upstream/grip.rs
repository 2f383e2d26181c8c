//! What the gateway tells Django of itself where answers may be held, in the way of GRIP: a signature that is good for an
//! hour, and what it can do.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderValue};

use crate::base::random;
use crate::base::sync::lock;
use crate::wire::grip::signature::Key;
use crate::wire::grip::{FEATURES, GRIP_FEATURE, GRIP_SIG};

/// How long a signature is good.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// How long it is sent, so that one that arrives is good for most of an hour.
const SENT_FOR: Duration = Duration::from_secs(300);

/// `grip` of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grip {
    /// What signs `Grip-Sig`, and what publishers may sign with. Unset: one that is made up at the start, for without a
    /// signature django-eventstream would stream itself.
    pub key: Option<Key>,
    /// The issuer of the signature. Default `pushpin`.
    pub iss: String,
    /// What channel names of this upstream begin with at the control endpoint, and not in Django. Default nothing.
    pub prefix: String,
    /// How often the link of a stream is followed that has no timeout of its own; jittered. Default 10 min.
    pub link_every: Duration,
    /// Links followed at once. Default 4.
    pub links_at_once: NonZeroUsize,
}

impl Default for Grip {
    fn default() -> Self {
        Self {
            key: None,
            iss: "pushpin".to_owned(),
            prefix: String::new(),
            link_every: Duration::from_secs(600),
            links_at_once: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Signs requests to one upstream.
#[derive(Debug)]
pub(super) struct Signer {
    key: Key,
    iss: String,
    /// The newest signature, and when it was made, by the clock that Django reads: while the machine sleeps, no other goes on.
    newest: Mutex<Option<(Duration, HeaderValue)>>,
}

impl Signer {
    pub(super) fn new(grip: &Grip) -> Self {
        let made_up = || {
            let halves = [random::unguessable(), random::unguessable()];
            let mut bytes = [0; 32];
            for (bytes, half) in bytes.chunks_mut(16).zip(halves) {
                bytes.copy_from_slice(&half.to_ne_bytes());
            }
            Key::random(bytes)
        };
        Self {
            key: grip.key.clone().unwrap_or_else(made_up),
            iss: grip.iss.clone(),
            newest: Mutex::new(None),
        }
    }

    /// Sets what the gateway says of itself.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(GRIP_FEATURE, HeaderValue::from_static(FEATURES));
        if let Some(signature) = self.signature() {
            headers.insert(GRIP_SIG, signature);
        }
    }

    fn signature(&self) -> Option<HeaderValue> {
        self.signature_at(SystemTime::now().duration_since(UNIX_EPOCH).ok()?)
    }

    /// The one that is sent so long after 1970.
    fn signature_at(&self, now: Duration) -> Option<HeaderValue> {
        let mut newest = lock(&self.newest);
        if let Some((made, signature)) = &*newest
            && (*made..*made + SENT_FOR).contains(&now)
        {
            return Some(signature.clone());
        }
        let expires = (now + GOOD_FOR).as_secs();
        let signature = HeaderValue::try_from(self.key.sign(&self.iss, expires)?).ok()?;
        *newest = Some((now, signature.clone()));
        Some(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_sent_for_a_while_by_the_clock_that_django_reads() {
        let signer = Signer::new(&Grip::default());
        let at = |seconds| signer.signature_at(Duration::from_secs(seconds)).unwrap();
        let first = at(10_000);
        assert_eq!(first, at(10_299));
        let second = at(10_300);
        assert_ne!(first, second);
        // The machine slept; and its clock was put back.
        assert_ne!(second, at(20_000));
        assert_eq!(first, at(10_000));
    }
}
