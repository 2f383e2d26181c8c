//! What a certificate says of itself: whose it is, and when.
//!
//! `identity` reads it out of the first certificate of a chain. Only names of the subject alternative name count, as they
//! do in browsers; of those only the ones of DNS, for SNI carries no addresses (RFC 6066, section 3).

use std::time::Duration;

use jiff::Timestamp;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long before its end a certificate should have been renewed, unless a third of its life is less.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) names: Vec<Name>,
    pub(super) validity: Validity,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Exact(String),
    /// `*.` and this: one label more.
    Below(String),
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last.
    pub not_after: Timestamp,
}

/// What the time says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is good, and will be for a while.
    Good,
    /// It is good, but should have been renewed.
    EndsSoon,
    /// It is not good yet.
    Early,
    /// It is no longer good.
    Expired,
}

impl Facts {
    pub(super) fn read(der: &[u8]) -> Result<Self, X509Error> {
        let (_, certificate) = X509Certificate::from_der(der)?;
        let names = certificate.subject_alternative_name()?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(Name::new(name)),
            _ => None,
        });
        let validity = certificate.validity();
        Ok(Self {
            names: names.collect(),
            validity: Validity {
                not_before: timestamp(validity.not_before.timestamp()),
                not_after: timestamp(validity.not_after.timestamp()),
            },
        })
    }
}

/// The end of the year 9999, which means never (RFC 5280, section 4.1.2.5), is a day past what a timestamp can be.
fn timestamp(seconds: i64) -> Timestamp {
    let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds.clamp(first, last)).unwrap_or(Timestamp::MAX)
}

impl Name {
    fn new(text: &str) -> Self {
        match text.strip_prefix("*.") {
            Some(parent) => Self::Below(parent.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// Whether `host` is what is meant; case does not count.
    pub(super) fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Below(parent) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(parent)
            }),
        }
    }
}

impl Validity {
    /// Whether the certificate is good at this moment.
    pub fn includes(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// What is to be thought of the certificate at this moment.
    pub fn at(&self, now: Timestamp) -> Standing {
        let life = Duration::try_from(self.not_after.duration_since(self.not_before));
        let soon = SOON.min(life.unwrap_or_default() / 3);
        let left = Duration::try_from(self.not_after.duration_since(now));
        match left {
            Err(_) => Standing::Expired,
            Ok(_) if now < self.not_before => Standing::Early,
            Ok(left) if left < soon => Standing::EndsSoon,
            Ok(_) => Standing::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::*;

    #[test]
    fn a_name_fits_itself_and_a_star_one_label() {
        for (name, fits, others) in [
            (
                "a.test",
                &["a.test", "A.Test"][..],
                &["b.a.test", "test", "", "a.test."][..],
            ),
            (
                "*.A.test",
                &["b.a.test", "B.A.TEST", "xn--4ca.a.test"],
                &["a.test", "c.b.a.test", ".a.test", "ba.test", "*"],
            ),
        ] {
            let name = Name::new(name);
            assert!(fits.iter().all(|host| name.fits(host)), "{name:?}");
            assert!(!others.iter().any(|host| name.fits(host)), "{name:?}");
        }
    }

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Facts {
        let names = ["one.test".to_owned(), "*.two.test".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Facts::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn names_and_dates_are_read_out_of_a_certificate() {
        let facts = made(|params| {
            let address = SanType::IpAddress([127, 0, 0, 1].into());
            params.subject_alt_names.insert(0, address);
            params.not_before = date_time_ymd(2026, 1, 2);
            params.not_after = date_time_ymd(2026, 3, 4);
        });
        let names = [
            Name::Exact("one.test".to_owned()),
            Name::Below("two.test".to_owned()),
        ];
        assert_eq!(facts.names, names);
        let validity = facts.validity;
        assert_eq!(validity.not_before.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(validity.not_after.to_string(), "2026-03-04T00:00:00Z");
        assert!(
            made(|params| params.subject_alt_names.clear())
                .names
                .is_empty()
        );
        // The end of all time.
        let never = made(|params| params.not_after = date_time_ymd(9999, 12, 31));
        let end = never.validity.not_after.as_second();
        assert_eq!(end, Timestamp::MAX.as_second());
        assert!(Facts::read(b"odd").is_err());
    }

    #[test]
    fn the_end_is_near_two_weeks_or_a_third_of_the_life_before() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let long = Validity {
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2026-04-01T00:00:00Z"),
        };
        let short = Validity {
            not_after: at("2026-01-07T00:00:00Z"),
            ..long
        };
        for (validity, now, expected) in [
            (long, "2025-12-31T23:59:59Z", Standing::Early),
            (long, "2026-01-01T00:00:00Z", Standing::Good),
            (long, "2026-03-18T00:00:00Z", Standing::Good),
            (long, "2026-03-18T00:00:01Z", Standing::EndsSoon),
            (long, "2026-04-01T00:00:00Z", Standing::EndsSoon),
            (long, "2026-04-01T00:00:01Z", Standing::Expired),
            (short, "2026-01-05T00:00:00Z", Standing::Good),
            (short, "2026-01-05T00:00:01Z", Standing::EndsSoon),
        ] {
            assert_eq!(validity.at(at(now)), expected, "{now}");
        }
    }
}
