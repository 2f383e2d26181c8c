//! `Accept-Encoding`: which codings a client takes, and which of those at hand it likes best (RFC 9110, section 12.5.3).
//!
//! Whoever chooses between representations reads the header here, once per answer. A member that cannot be read is as
//! if it were not there. Limit: as long as a head may be, one pass, no allocation.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A coding that is worth choosing. `x-gzip` is `gzip`; `deflate` and `compress` are nobody's first choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// `gzip`.
    Gzip,
}

/// What a client said about codings. Weights are in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Of brotli, zstd and gzip; `None` where it said nothing.
    named: [Option<u16>; 3],
    identity: Option<u16>,
    /// `*`: whatever was not named.
    others: Option<u16>,
}

impl Coding {
    /// The name in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl Accepted {
    /// Reads all lines of the header. Without one, a client takes everything as it is.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        let lines = headers.get_all(ACCEPT_ENCODING).iter();
        let members = lines.flat_map(|line| line.as_bytes().split(|&b| b == b','));
        for member in members {
            accepted.add(member);
        }
        accepted
    }

    /// Those of `offered` that the client takes and does not like less than the plain text; the one it likes best comes
    /// first, of two it likes alike the one that was offered first. `offered` names each at most once.
    pub fn ranked(&self, offered: &[Coding]) -> impl Iterator<Item = Coding> + use<> {
        let plain = self.identity.unwrap_or(0);
        let mut ranked = [None; 3];
        let wanted = offered
            .iter()
            .map(|coding| (self.weight(*coding), *coding))
            .filter(|(weight, _)| *weight > 0 && *weight >= plain);
        for (slot, wanted) in ranked.iter_mut().zip(wanted) {
            *slot = Some(wanted);
        }
        // Stable: what was offered first stays first.
        ranked.sort_by_key(|wanted| std::cmp::Reverse(wanted.map_or(0, |(weight, _)| weight)));
        ranked.into_iter().flatten().map(|(_, coding)| coding)
    }

    /// Which of `offered` the client likes best; `None`: the plain text.
    pub fn preferred(&self, offered: &[Coding]) -> Option<Coding> {
        self.ranked(offered).next()
    }

    fn weight(&self, coding: Coding) -> u16 {
        let [brotli, zstd, gzip] = self.named;
        let named = match coding {
            Coding::Brotli => brotli,
            Coding::Zstd => zstd,
            Coding::Gzip => gzip,
        };
        named.or(self.others).unwrap_or(0)
    }

    fn add(&mut self, member: &[u8]) {
        let mut parts = member.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let Some(weight) = parts.try_fold(1000, |_, part| weight(part)) else {
            return;
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let [brotli, zstd, gzip] = &mut self.named;
        let slot = if is("br") {
            brotli
        } else if is("zstd") {
            zstd
        } else if is("gzip") || is("x-gzip") {
            gzip
        } else if is("identity") {
            &mut self.identity
        } else if is("*") {
            &mut self.others
        } else {
            return;
        };
        // Named twice, the first counts: nobody means both.
        *slot = slot.or(Some(weight));
    }
}

/// `q=0.5` in thousandths.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    match value {
        [whole @ (b'0' | b'1')] => Some(u16::from(whole - b'0') * 1000),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => {
            let mut thousandths = u16::from(whole - b'0');
            for at in 0..3 {
                let digit = digits.get(at).copied().unwrap_or(b'0');
                if !digit.is_ascii_digit() {
                    return None;
                }
                thousandths = thousandths * 10 + u16::from(digit - b'0');
            }
            (thousandths <= 1000).then_some(thousandths)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn accepted(lines: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        Accepted::of_request(&headers)
    }

    const OFFERED: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    #[test]
    fn the_best_of_what_is_offered_is_chosen() {
        use Coding::{Brotli, Gzip, Zstd};
        for (line, best) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, br", Some(Brotli)),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZip;Q=1.000", Some(Gzip)),
            ("br;q=0.9, gzip;q=0.901", Some(Gzip)),
            ("br ; q=0.5 , gzip;q=0.5", Some(Brotli)),
            ("zstd;q=0, br;q=0.0, gzip;q=0.001", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*;q=0.5, gzip", Some(Gzip)),
            ("*;q=0, gzip", Some(Gzip)),
            ("zstd;q=0, *", Some(Brotli)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0", None),
            ("identity", None),
            ("deflate, compress", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.0001", None),
            ("gzip;q=", None),
            ("gzip;q", None),
            ("gzip;x=1", None),
            ("gzip;q=0, gzip", None),
            (",, ,gzip,", Some(Gzip)),
            ("gzipp", None),
        ] {
            assert_eq!(accepted(&[line]).preferred(&OFFERED), best, "{line:?}");
        }
        assert_eq!(accepted(&[]).preferred(&OFFERED), None);
        assert_eq!(
            accepted(&["gzip;q=0.1", "br"]).preferred(&OFFERED),
            Some(Brotli)
        );
        assert_eq!(accepted(&["gzip, br"]).preferred(&[Gzip]), Some(Gzip));
        assert_eq!(accepted(&["gzip, br"]).preferred(&[]), None);
    }

    #[test]
    fn the_others_are_ranked_behind_it() {
        let ranked: Vec<_> = accepted(&["gzip;q=0.9, zstd;q=0.9, br"])
            .ranked(&OFFERED)
            .collect();
        assert_eq!(ranked, [Coding::Brotli, Coding::Zstd, Coding::Gzip]);
    }

    proptest! {
        #[test]
        fn only_what_is_offered_and_not_refused_is_chosen(line in "(gzip|br|zstd|\\*|identity|;q=|0|1|\\.|5|,| |x){0,24}") {
            let accepted = accepted(&[&line]);
            for offered in [&OFFERED[..], &OFFERED[..1], &[]] {
                let ranked: Vec<_> = accepted.ranked(offered).collect();
                prop_assert!(ranked.iter().all(|coding| offered.contains(coding) && accepted.weight(*coding) > 0));
                prop_assert_eq!(ranked.first().copied(), accepted.preferred(offered));
            }
        }
    }
}
