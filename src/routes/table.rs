//! The ordered list of routes.

use super::pattern::{Captures, PathPattern};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The path as written: what metrics and logs call this route.
    pub name: String,
    /// Which paths it answers.
    pub pattern: PathPattern,
    /// What it leads to.
    pub target: T,
}

/// All routes, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<T> {
    entries: Vec<Entry<T>>,
}

impl<T> Table<T> {
    /// A table of these entries, the first to be tried first.
    pub const fn new(entries: Vec<Entry<T>>) -> Self {
        Self { entries }
    }

    /// The first entry that fits the percent-decoded `path`, and the parts of it.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<(&'a Entry<T>, Captures<'a>)> {
        self.entries
            .iter()
            .find_map(|entry| Some((entry, entry.pattern.matches(path)?)))
    }

    /// All entries in order.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }
}

impl<T> Entry<T> {
    /// An entry named after its path.
    pub fn new(pattern: PathPattern, target: T) -> Self {
        Self {
            name: pattern.as_str().to_owned(),
            pattern,
            target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fit_wins() {
        let entry = |path: &str, target| Entry::new(PathPattern::parse(path).unwrap(), target);
        let table = Table::new(vec![
            entry("/rooms/new/", 1),
            entry("/rooms/<slug:room>/", 2),
            entry("/<path:rest>", 3),
        ]);
        let target = |path| table.find(path).map(|(entry, _)| entry.target);
        assert_eq!(target("/rooms/new/"), Some(1));
        assert_eq!(target("/rooms/old/"), Some(2));
        assert_eq!(target("/rooms/a/b"), Some(3));
        assert_eq!(target("*"), None);
        let (entry, captures) = table.find("/rooms/old/").unwrap();
        assert_eq!(
            (entry.name.as_str(), captures.get("room")),
            ("/rooms/<slug:room>/", Some("old"))
        );
    }
}
