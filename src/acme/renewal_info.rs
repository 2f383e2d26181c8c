//! When the authority wants a certificate renewed (RFC 9773): also much sooner, if it has to revoke it.
//!
//! `task` asks. It is one GET without a signature, which is why it is not left to `instant_acme`.

use std::time::{Duration, SystemTime};

use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::Error as _;

use super::Failed;
use super::client::{Http, HttpError, retry_after};
use super::when::Window;

/// How often it is asked if it does not say.
pub(super) const USUALLY: Duration = Duration::from_secs(6 * 60 * 60);
/// The least it can say (RFC 9773, section 4.3.2).
const LEAST: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    suggested_window: Suggested,
}

#[derive(Debug, Deserialize)]
struct Suggested {
    start: String,
    end: String,
}

/// The window, and how long it is to be believed; `None` if the authority does not say.
pub(super) async fn ask(
    http: &Http,
    directory: &str,
    certificate: &CertificateIdentifier<'_>,
) -> Result<Option<(Window, Duration)>, Failed> {
    let Some(url) = http.directory(directory).await?.renewal_info else {
        return Ok(None);
    };
    let url = format!("{}/{certificate}", url.trim_end_matches('/'));
    let (headers, body) = http.get(&url).await?;
    let window = read(&body).map_err(HttpError::Json)?;
    let again = retry_after(&headers, SystemTime::now()).unwrap_or(USUALLY);
    Ok(Some((window, again.max(LEAST))))
}

fn read(body: &[u8]) -> Result<Window, serde_json::Error> {
    let Suggested { start, end } = serde_json::from_slice::<Info>(body)?.suggested_window;
    let time = |text: String| text.parse::<Timestamp>().map_err(serde_json::Error::custom);
    Ok(Window {
        start: time(start)?,
        end: time(end)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_and_what_is_none_is_told() {
        // The example of the RFC, section 4.2.
        let text = br#"{
            "suggestedWindow": { "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z" },
            "explanationURL": "https://acme.example.com/docs/ari"
        }"#;
        let window = read(text).unwrap();
        assert_eq!(window.start.to_string(), "2025-01-02T04:00:00Z");
        assert_eq!(window.end.to_string(), "2025-01-03T04:00:00Z");
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"suggestedWindow":{"start":"2025-01-02T04:00:00Z"}}"#,
            r#"{"suggestedWindow":{"start":"soon","end":"later"}}"#,
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
