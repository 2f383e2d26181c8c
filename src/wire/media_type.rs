//! Media types as rules name them (`image/*`, `application/pdf`), and which of them a browser runs.
//!
//! `config` reads rules, `proxy` holds answers against them.

/// Types by name or by their family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    /// In lower case.
    family: Box<str>,
    /// `None`: all of the family.
    subtype: Option<Box<str>>,
}

/// A text that is no rule about types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a media type is two words and a slash, as in \"application/pdf\" or \"image/*\"")]
pub struct InvalidRange;

impl MediaRange {
    /// Reads `"image/*"`, `"application/pdf"`.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let (family, subtype) = text.split_once('/').ok_or(InvalidRange)?;
        if !is_word(family) || !(subtype == "*" || is_word(subtype)) {
            return Err(InvalidRange);
        }
        Ok(Self {
            family: family.to_ascii_lowercase().into(),
            subtype: (subtype != "*").then(|| subtype.to_ascii_lowercase().into()),
        })
    }

    /// Whether the type of `content_type`, whatever its parameters, is one of these.
    pub fn matches(&self, content_type: &str) -> bool {
        let Some((family, subtype)) = essence(content_type).split_once('/') else {
            return false;
        };
        let fits = |named: &str| named.eq_ignore_ascii_case(subtype);
        self.family.eq_ignore_ascii_case(family) && self.subtype.as_deref().is_none_or(fits)
    }

    /// The same, but what a browser runs is only matched by its own name.
    pub fn matches_safely(&self, content_type: &str) -> bool {
        self.matches(content_type) && (self.subtype.is_some() || !is_active(content_type))
    }
}

impl std::fmt::Display for MediaRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subtype = self.subtype.as_deref().unwrap_or("*");
        write!(out, "{}/{subtype}", self.family)
    }
}

/// Whether a browser that shows it may run what is in it: HTML, SVG, and anything else that is XML.
pub fn is_active(content_type: &str) -> bool {
    let Some((family, subtype)) = essence(content_type).split_once('/') else {
        return true;
    };
    let is = |word: &str| subtype.eq_ignore_ascii_case(word);
    let ends = |word: &[u8]| {
        let subtype = subtype.as_bytes();
        let end = subtype.len().saturating_sub(word.len());
        subtype
            .get(end..)
            .is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    ends(b"+xml")
        || is("xml")
        || is("html")
        || is("xsl")
        || is("x-mixed-replace")
        || family.eq_ignore_ascii_case("multipart")
}

/// The type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// A token (RFC 9110, section 5.6.2) without the star, which stands for all.
fn is_word(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_two_words() {
        for bad in [
            "",
            "image",
            "image/",
            "/png",
            "*/*",
            "image/*x",
            "image/png/x",
            "a b/c",
            "image/png; q=1",
        ] {
            assert_eq!(MediaRange::parse(bad), Err(InvalidRange), "{bad:?}");
        }
        for good in ["image/*", "application/pdf", "image/svg+xml"] {
            assert_eq!(MediaRange::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_family_has_no_member_that_a_browser_runs() {
        let matches = |range: &str, content_type| {
            MediaRange::parse(range)
                .unwrap()
                .matches_safely(content_type)
        };
        for content_type in ["image/png", "IMAGE/PNG", "image/png; x=y", "image/png ;x"] {
            assert!(
                matches("image/*", content_type) && matches("Image/Png", content_type),
                "{content_type}"
            );
            assert!(
                !matches("video/*", content_type) && !matches("image/gif", content_type),
                "{content_type}"
            );
        }
        for (family, active) in [
            ("image/*", "image/svg+xml"),
            ("image/*", "Image/SVG+XML; charset=utf-8"),
            ("text/*", "text/html"),
            ("text/*", "text/xml;x"),
            ("application/*", "application/xhtml+xml"),
            ("application/*", "application/rss+xml"),
        ] {
            assert!(!matches(family, active), "{active}");
            let named = essence(active);
            assert!(matches(named, active), "{active}");
        }
        assert!(!matches("image/*", "image") && !matches("image/*", ""));
    }
}
