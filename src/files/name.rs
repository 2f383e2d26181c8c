//! From a decoded path to the name of a file below a root. The only maker of [`Name`].
//!
//! `proxy` calls [`Name::parse`] with what `wire::path::decode` made of the request. Invariant: a name is relative and
//! has no segment that is empty, a dot segment, hidden (unless asked for) or that another system reads as something
//! else than one file's name: with a backslash, a colon (drives, streams, `file:`), a control character, a dot or a space
//! at its end. The kernel holds it below the root once more (`open`): a name says nothing about symbolic links.

use std::fmt;

/// The longest segment, and the longest name, in bytes: what Linux takes.
const LONGEST_SEGMENT: usize = 255;
const LONGEST: usize = 4095;

/// What is looked for below a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Without slashes at its ends; empty for the root itself.
    path: String,
    is_directory: bool,
}

/// Whether names that begin with a dot are names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DotFiles {
    /// They are as if they were not there.
    #[default]
    Hidden,
    /// They are files as others are.
    Served,
}

impl Name {
    /// The name of a decoded path, which may be empty or end in a slash: then it is that of a directory.
    pub fn parse(path: &str, dot_files: DotFiles) -> Option<Self> {
        let file = path.strip_suffix('/');
        let is_directory = file.is_some() || path.is_empty();
        let path = file.unwrap_or(path);
        let fits = |segment: &str| is_segment(segment, dot_files);
        let whole = path.is_empty() && file.is_none();
        if path.len() > LONGEST || !(whole || path.split('/').all(fits)) {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            is_directory,
        })
    }

    /// Relative to the root.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether it ends in a slash.
    pub const fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// The file `index` in this directory. `index` is one segment of the configuration.
    #[must_use]
    pub fn index(&self, index: &str) -> Self {
        let path = match self.path.as_str() {
            "" => index.to_owned(),
            directory => format!("{directory}/{index}"),
        };
        Self {
            path,
            is_directory: false,
        }
    }

    /// Whether the last segment is one that Django's `ManifestStaticFilesStorage` makes: `name.<12 digits>.ext`. Its
    /// content never changes.
    pub fn is_hashed(&self) -> bool {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        let mut parts = last.rsplitn(3, '.');
        let (end, before, stem) = (parts.next(), parts.next(), parts.next());
        let is_hash = |part: Option<&str>| part.is_some_and(is_hash);
        let is_named = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
        // A name without an extension has the digits at its end.
        (is_hash(before) && is_named(stem)) || (is_hash(end) && is_named(before))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted: it is a client's text.
        write!(out, "{:?}", self.path)
    }
}

/// Whether a text may be one segment of a name.
pub fn is_segment(segment: &str, dot_files: DotFiles) -> bool {
    let is_hidden = segment.starts_with('.') && dot_files == DotFiles::Hidden;
    !segment.is_empty()
        && segment.len() <= LONGEST_SEGMENT
        && !is_hidden
        // This is also `.` and `..`.
        && !segment.ends_with(['.', ' '])
        && !segment.contains(['/', '\\', ':'])
        && !segment.chars().any(char::is_control)
}

fn is_hash(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(path: &str) -> Option<Name> {
        Name::parse(path, DotFiles::Hidden)
    }

    #[test]
    fn names_of_files_and_directories() {
        for (path, expected, is_directory) in [
            ("", "", true),
            ("a", "a", false),
            ("a/", "a", true),
            ("a/b.c", "a/b.c", false),
            ("a..b/ä ö/x.tar.gz", "a..b/ä ö/x.tar.gz", false),
        ] {
            let name = name(path).unwrap();
            assert_eq!(
                (name.as_str(), name.is_directory()),
                (expected, is_directory),
                "{path}"
            );
        }
        assert_eq!(name("").unwrap().index("index.html").as_str(), "index.html");
        assert_eq!(
            name("a/").unwrap().index("index.html").as_str(),
            "a/index.html"
        );
    }

    #[test]
    fn what_means_something_else_somewhere_is_no_name() {
        let long = "x".repeat(256);
        let deep = "x/".repeat(2100);
        for path in [
            "/",
            "//",
            "/a",
            "a//b",
            "a//",
            ".",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/./b",
            "...",
            "a.",
            "a./b",
            "a ",
            "a\\b",
            "..\\a",
            "c:",
            "C:/a",
            "file:///etc/passwd",
            "a:b",
            "a::$DATA",
            "a\0",
            "a\nb",
            "a\u{85}",
            ".env",
            "a/.git/config",
            ".well-known/x",
            &long,
            &deep,
        ] {
            assert_eq!(name(path), None, "{path:?}");
        }
        for path in [".env", "a/.git/config", ".well-known/x"] {
            assert!(Name::parse(path, DotFiles::Served).is_some(), "{path}");
        }
        for path in [".", "..", "a/..", "...", ".\\"] {
            assert_eq!(Name::parse(path, DotFiles::Served), None, "{path}");
        }
    }

    #[test]
    fn hashed_names_are_those_of_djangos_manifest() {
        for path in [
            "app.0123456789ab.css",
            "a/b/jquery.min.abcdef012345.js",
            "app.js.0123456789ab.map",
            "LICENSE.0123456789ab",
        ] {
            assert!(name(path).unwrap().is_hashed(), "{path}");
        }
        for path in [
            "app.css",
            "app.0123456789a.css",
            "app.0123456789abc.css",
            "app.0123456789AB.css",
            "app.0123456789ag.css",
            "0123456789ab.css",
            "0123456789ab",
            "app.0123456789ab.css.gz",
            "app.0123456789ab/x.css",
            "",
        ] {
            assert!(!name(path).unwrap().is_hashed(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_name_stays_where_it_is(path in "(/|\\.|\\\\|:|a|ä| |\0|%){0,16}", served in any::<bool>()) {
            let dot_files = if served { DotFiles::Served } else { DotFiles::Hidden };
            if let Some(name) = Name::parse(&path, dot_files) {
                let path = std::path::Path::new(name.as_str());
                let only_down = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(only_down && !name.as_str().contains(['\\', ':', '\0']));
                let _hashed = name.is_hashed();
            }
        }
    }
}
