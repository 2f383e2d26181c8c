//! Signed requests: a stranger's signature is never good, ours is, and nothing that it covers can be changed.
//!
//! The input is id, timestamp, signature and body, with 0xFF between them; the body may be any bytes.

use http::{HeaderMap, HeaderValue};
use tidegate::wire::webhook::{ID, SIGNATURE, Secret, TIMESTAMP, TOLERANCE_SECONDS, read};

pub fn check(data: &[u8]) -> Option<()> {
    let mut parts = data.splitn(4, |&b| b == 0xff);
    let mut value = || HeaderValue::from_bytes(parts.next().unwrap_or_default()).ok();
    let (id, timestamp, signature) = (value()?, value()?, value()?);
    let body = parts.next().unwrap_or_default();
    let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a good secret");
    let mut headers = HeaderMap::new();
    headers.insert(ID, id);
    headers.insert(TIMESTAMP, timestamp);
    headers.insert(SIGNATURE, signature);
    let Ok(Some(stranger)) = read(&headers) else {
        return Some(());
    };
    assert!(!stranger.is_by(&secret, body), "nobody can guess it");
    let sent = stranger.timestamp;
    assert!(stranger.is_timely(sent.saturating_add(TOLERANCE_SECONDS)));
    assert!(!stranger.is_timely(sent.wrapping_add(TOLERANCE_SECONDS + 1)));

    let good = secret.sign(&stranger.id, sent, body);
    headers.insert(TIMESTAMP, sent.into());
    // A good one counts among any others.
    let others = headers.get(SIGNATURE).map(HeaderValue::as_bytes);
    let several = [good.as_bytes(), b" ", others.unwrap_or_default()].concat();
    for signatures in [good.as_bytes(), &several] {
        headers.insert(SIGNATURE, HeaderValue::from_bytes(signatures).ok()?);
        let ours = read(&headers).expect("well formed").expect("signed");
        assert!(ours.is_by(&secret, body));
        assert!(!ours.is_by(&secret, &[body, b"0"].concat()));
        assert!(body.is_empty() || !ours.is_by(&secret, &body[1..]));
    }
    // What belongs to one part cannot be given to the next.
    let mut moved = headers.clone();
    moved.insert(TIMESTAMP, sent.wrapping_add(1).into());
    moved.insert(SIGNATURE, HeaderValue::from_str(&good).ok()?);
    let moved = read(&moved).expect("well formed").expect("signed");
    assert!(!moved.is_by(&secret, body));
    headers.insert(
        ID,
        HeaderValue::from_str(&format!("{}0", stranger.id)).ok()?,
    );
    if let Ok(Some(renamed)) = read(&headers) {
        assert!(!renamed.is_by(&secret, body));
    }
    Some(())
}
