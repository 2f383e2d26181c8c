//! Where a redirect leads: a path of this site or an address, with parts of the path put in: `/new/{rest}`.
//!
//! `config` reads it, `proxy` fills it for each request. Invariant: whatever the parts are, scheme and host are those of
//! the template, and the value is one line. A part is escaped anew, so that it is a piece of a path (or of a query, if the
//! template has it there) and nothing more.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{Cause, PatternError, is_name};
use super::pattern::Captures;
use super::template::{Piece, pieces, variables};
use crate::wire::host;

/// What of a part stands as it is: the unreserved characters of RFC 3986, and the slashes of `<path:…>`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A template of an address, checked but for its variables: those must be names of the path it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    text: Box<str>,
    pieces: Vec<Piece>,
}

impl Location {
    /// Reads a template as written in the configuration.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        check_beginning(text)?;
        let invalid = |name: &str| (!is_name(name)).then(|| Cause::InvalidName(name.to_owned()));
        let location = Self {
            text: text.into(),
            pieces: pieces(text, check_literal, invalid)?,
        };
        if has_dots(&location.put_together(|_| "x")) {
            return Err(PatternError::new(0, Cause::Dots));
        }
        Ok(location)
    }

    /// The variables with their places in the text, in bytes.
    pub fn variables(&self) -> impl Iterator<Item = (usize, &str)> {
        variables(&self.pieces)
    }

    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address for the parts of a path, with the query of the request unless the template has one. `None` if the parts
    /// make a dot segment, which a browser would take for a way up.
    pub fn fill(&self, captures: &Captures<'_>, query: Option<&str>) -> Option<String> {
        let mut address = self.put_together(|name| captures.get(name).unwrap_or_default());
        if has_dots(&address) {
            return None;
        }
        if let Some(query) = query {
            let end = address.find('#').unwrap_or(address.len());
            let has_one = address.find('?').is_some_and(|at| at < end);
            if !has_one {
                address.insert_str(end, query);
                address.insert(end, '?');
            }
        }
        Some(address)
    }

    fn put_together<'a>(&self, part: impl Fn(&str) -> &'a str) -> String {
        let mut address = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => address.push_str(text),
                Piece::Variable(name) => address.extend(utf8_percent_encode(part(name), ESCAPED)),
            }
        }
        // Two slashes at the beginning are the host of another site (RFC 3986, section 4.2).
        let doubled = address.len() - address.trim_start_matches('/').len();
        if doubled > 1 {
            address.drain(..doubled - 1);
        }
        address
    }
}

/// A path, or a scheme and a host that end before any variable.
fn check_beginning(text: &str) -> Result<(), PatternError> {
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok(());
    }
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| PatternError::new(0, Cause::NoLocation))?;
    let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
    let at = text.len() - rest.len();
    let (authority, after) = rest.split_at(end);
    if after.starts_with('{') {
        return Err(PatternError::new(at + end, Cause::VariableHost));
    }
    match host::parse(authority) {
        Some(_) => Ok(()),
        None => Err(PatternError::new(at, Cause::NoLocation)),
    }
}

fn check_literal(literal: &str, at: usize) -> Result<(), PatternError> {
    for (i, c) in literal.char_indices() {
        let after = literal.as_bytes().get(i + 1..).unwrap_or_default();
        let fits = match c {
            '%' => matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
            '}' => return Err(PatternError::new(at + i, Cause::Unopened('{', '}'))),
            '"' | '<' | '>' | '\\' | '^' | '`' | '|' => false,
            c => c.is_ascii_graphic(),
        };
        if !fits {
            return Err(PatternError::new(at + i, Cause::NotInLocation(c)));
        }
    }
    Ok(())
}

/// Whether the path of an address has a segment that means "here" or "up", in any spelling a browser knows.
fn has_dots(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::PathPattern;
    use proptest::prelude::*;

    fn filled(to: &str, pattern: &str, path: &str, query: Option<&str>) -> Option<String> {
        let pattern = PathPattern::parse(pattern).unwrap();
        let location = Location::parse(to).unwrap();
        location.fill(&pattern.matches(path).unwrap(), query)
    }

    #[test]
    fn parts_of_the_path_are_escaped_anew() {
        let old = |to, path| filled(to, "/old/<path:rest>", path, None).unwrap();
        assert_eq!(
            old("/new/{rest}", "/old/a/b c/ä%"),
            "/new/a/b%20c/%C3%A4%25"
        );
        assert_eq!(old("/new/{rest}", "/old/"), "/new/");
        assert_eq!(
            old("/s?q={rest}", "/old/a&b=c+d#e?f"),
            "/s?q=a%26b%3Dc%2Bd%23e%3Ff"
        );
        assert_eq!(old("/all/#{rest}", "/old/x"), "/all/#x");
        assert_eq!(
            old("https://b.test/{rest}", "/old/@c:1"),
            "https://b.test/%40c%3A1"
        );
    }

    #[test]
    fn no_part_makes_it_another_site() {
        let all = |path| filled("/{rest}", "/old/<path:rest>", path, None);
        assert_eq!(all("/old//evil.test/x").as_deref(), Some("/evil.test/x"));
        assert_eq!(all("/old////evil.test").as_deref(), Some("/evil.test"));
        assert_eq!(all("/old/\\evil.test").as_deref(), Some("/%5Cevil.test"));
        assert_eq!(
            all("/old/https://evil.test").as_deref(),
            Some("/https%3A//evil.test")
        );
        let file = |path| filled("/new/{name}/x", "/old/file-<str:name>", path, None);
        assert_eq!(file("/old/file-.."), None);
        assert_eq!(file("/old/file-..."), Some("/new/.../x".to_owned()));
    }

    #[test]
    fn the_query_is_kept_unless_the_template_has_one() {
        let query = |to| filled(to, "/<path:rest>", "/a", Some("x=1&y=%20")).unwrap();
        assert_eq!(query("/{rest}"), "/a?x=1&y=%20");
        assert_eq!(query("/{rest}?z"), "/a?z");
        assert_eq!(query("/{rest}#f?g"), "/a?x=1&y=%20#f?g");
        assert_eq!(query("https://b.test"), "https://b.test?x=1&y=%20");
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, offset, cause) in [
            ("", 0, Cause::NoLocation),
            ("new/", 0, Cause::NoLocation),
            ("//b.test/", 0, Cause::NoLocation),
            ("{rest}", 0, Cause::NoLocation),
            ("ftp://b.test/", 0, Cause::NoLocation),
            ("https://", 8, Cause::NoLocation),
            ("https://u@b.test/", 8, Cause::NoLocation),
            ("https://b.test{rest}", 14, Cause::VariableHost),
            ("https://{host}/", 8, Cause::VariableHost),
            ("/a b", 2, Cause::NotInLocation(' ')),
            ("/a\r\nX: y", 2, Cause::NotInLocation('\r')),
            ("/ä", 1, Cause::NotInLocation('ä')),
            ("/%2", 1, Cause::NotInLocation('%')),
            ("/\\b", 1, Cause::NotInLocation('\\')),
            ("/{a", 1, Cause::Unclosed('{', '}')),
            ("/a}", 2, Cause::Unopened('{', '}')),
            ("/../{a}", 0, Cause::Dots),
            ("/{1}", 2, Cause::InvalidName("1".to_owned())),
        ] {
            assert_eq!(
                Location::parse(text),
                Err(PatternError::new(offset, cause)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_the_path_scheme_and_host_stay(
            rest in "(/|\\\\|\\.|%|@|:|ä|https:|\\PC){0,12}",
            to in prop::sample::select(vec!["/{rest}", "/a{rest}", "https://b.test/{rest}", "https://b.test/?{rest}"]),
        ) {
            let path = format!("/old/{rest}");
            if let Some(address) = filled(to, "/old/<path:rest>", &path, Some("q")) {
                prop_assert!(address.bytes().all(|b| b.is_ascii_graphic()));
                if to.starts_with('/') {
                    prop_assert!(address.starts_with('/') && !address.starts_with("//"));
                } else {
                    prop_assert!(address.starts_with("https://b.test/"));
                }
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(/|https://|\\{|\\}|%|\\.|\\PC){0,12}") {
            if let Ok(location) = Location::parse(&text) {
                prop_assert_eq!(location.as_str(), text);
            }
        }
    }
}
