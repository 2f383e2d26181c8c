//! Where routes stand in the file, for `explain`. The settings themselves do not know: a route that was moved is the same
//! route.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::reader::position;

/// The line of each route of the file at `path`, in their order: that of its `path`. Empty if the file cannot be read.
pub fn route_lines(path: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    lines(&text)
}

fn lines(text: &str) -> Vec<usize> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let Some(DeValue::Array(routes)) = tree.get_ref().get("route").map(toml::Spanned::get_ref)
    else {
        return Vec::new();
    };
    let line = |span: std::ops::Range<usize>| position(text, span.start).0;
    let lines = routes.iter().map(|route| match route.get_ref() {
        DeValue::Table(table) => {
            let path = table.get("path").map(toml::Spanned::span);
            line(path.unwrap_or_else(|| route.span()))
        }
        _ => line(route.span()),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_where_its_path_is() {
        let text = "version = 1\n[[route]]\n# first\npath = \"/a\"\nproxy = \"django\"\n\n[[route]]\nproxy = \"django\"\npath = \"/b\"\n";
        assert_eq!(lines(text), [4, 9]);
        assert_eq!(
            lines("route = [{ path = \"/a\" },\n { path = \"/b\" }]\n"),
            [1, 2]
        );
        assert!(lines("route = 1").is_empty() && lines("[").is_empty());
    }
}
