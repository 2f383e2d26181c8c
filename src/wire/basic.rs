//! `Authorization: Basic`: a name and a password (RFC 7617).
//!
//! `proxy` reads it where a route has users of its own. The bytes are a client's; what cannot be read is no login.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The longest name and password together; hashing takes longer with more, and nobody types as much.
const LONGEST: usize = 1024;

/// With or without padding, as clients send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a client could send this name and password.
pub fn may_be_sent(name: &str, password: &str) -> bool {
    let length = name.len() + 1 + password.len();
    length <= LONGEST
        && ![name, password]
            .concat()
            .chars()
            .any(|c| c.is_ascii_control())
}

/// What a client says it may do by.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    text: Vec<u8>,
    colon: usize,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(***)")
    }
}

/// Why there is no login in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLogin {
    /// None was sent.
    #[error("no login was sent")]
    Missing,
    /// Something else than one name and one password, or too much of it.
    #[error("the login cannot be read")]
    Unreadable,
}

impl Login {
    /// The login in the headers of a request.
    pub fn of_request(headers: &HeaderMap) -> Result<Self, NoLogin> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(NoLogin::Missing)?;
        if values.next().is_some() {
            return Err(NoLogin::Unreadable);
        }
        Self::parse(value.as_bytes()).ok_or(NoLogin::Unreadable)
    }

    /// Reads the value of the header.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, encoded) = value.split_at_checked(6)?;
        let encoded = encoded.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > LONGEST.div_ceil(3) * 4 {
            return None;
        }
        let text = BASE64.decode(encoded).ok()?;
        // A control character in either is forbidden (section 2); a NUL would end a password for bcrypt.
        let colon = text.iter().position(|byte| *byte == b':')?;
        let fits = text.len() <= LONGEST && !text.iter().any(u8::is_ascii_control);
        fits.then_some(Self { text, colon })
    }

    /// Both together, as they were sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Before the first colon.
    pub fn name(&self) -> &[u8] {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// Behind it.
    pub fn password(&self) -> &[u8] {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<(String, String)> {
        let login = Login::parse(value.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some((text(login.name()), text(login.password())))
    }

    #[test]
    fn a_login_is_a_name_and_a_password() {
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(read("Basic YW5uOnM6ZWNyZXQ="), pair("ann", "s:ecret"));
        assert_eq!(read("bAsIc  YW5uOnM6ZWNyZXQ"), pair("ann", "s:ecret"));
        assert_eq!(read("Basic Og=="), pair("", ""));
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Bearer YW5uOnM=",
            "Basic YW5u",
            "Basic !",
            "Basic YW5uOgA=",
            "Basic YW5uOnM=, Basic YW5uOnM=",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let long = BASE64.encode(format!("ann:{}", "x".repeat(LONGEST)));
        assert_eq!(read(&format!("Basic {long}")), None);
    }

    #[test]
    fn two_logins_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Login::of_request(&headers), Err(NoLogin::Missing));
        let value = http::HeaderValue::from_static("Basic YW5uOnM=");
        headers.append(AUTHORIZATION, value.clone());
        assert!(Login::of_request(&headers).is_ok());
        headers.append(AUTHORIZATION, value);
        assert_eq!(Login::of_request(&headers), Err(NoLogin::Unreadable));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _login = Login::parse(&value);
        }

        #[test]
        fn a_login_reads_back(name in "[^:\0-\u{1f}\u{7f}]{0,9}", password in "[^\0-\u{1f}\u{7f}]{0,9}") {
            let value = format!("Basic {}", BASE64.encode(format!("{name}:{password}")));
            prop_assert_eq!(read(&value), Some((name, password)));
        }
    }
}
