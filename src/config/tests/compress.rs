//! `[compress]`, and `compress` of a route.

use super::*;
use crate::proxy::Compress;
use crate::wire::accept_encoding::Coding;

fn with(more: &str) -> String {
    format!("{SHORT}{more}\n")
}

#[test]
fn it_is_off_without_its_table_and_on_with_an_empty_one() {
    assert_eq!(good(SHORT).finish.compress, None);
    let config = good(&with("[compress]"));
    let rules = config.finish.compress.unwrap();
    assert_eq!(rules, Compress::default());
    let written = "[compress]\ntypes = [\"text/*\", \"application/json\", \"application/javascript\", \"image/svg+xml\"]\n\
        algorithms = [\"zstd\", \"br\", \"gzip\"]\nmin_size = \"1KiB\"\ncookies = false\n";
    assert_eq!(good(&with(written)).finish.compress, Some(rules));
}

#[test]
fn its_keys_are_heard_and_read_back() {
    let config = good(FULL);
    let rules = config.finish.compress.unwrap();
    assert_eq!(rules.algorithms, [Coding::Gzip, Coding::Zstd]);
    assert_eq!(rules.min_size, ByteSize::kib(2));
    assert!(rules.cookies);
    assert_eq!(rules.types[1].to_string(), "application/x-own");
    let shown = show(&good(&with("[compress]\nalgorithms = [\"br\"]\n")));
    assert_eq!(show(&good(&shown)), shown);
    assert!(shown.contains("algorithms = [\"br\"]"));
}

#[test]
fn a_route_may_be_left_out() {
    let is_left_out = |config: &Config| !config.routes.find("/plain/").unwrap().0.target.compress;
    let text = format!("{SHORT}[compress]\n").replacen(
        "[[route]]",
        "[[route]]\npath = \"/plain/\"\nproxy = \"django\"\ncompress = false\n[[route]]",
        1,
    );
    let config = good(&text);
    assert!(is_left_out(&config) && is_left_out(&good(&show(&config))));
    assert!(config.routes.find("/any").unwrap().0.target.compress);
}

#[test]
fn mistakes_are_told() {
    let lines = problems(&with(
        "[compress]\ntypes = [\"html\", \"text/event-stream\"]\nalgorithms = [\"brotli\", \"br\", \"br\"]\nmin_size = 1\nlevel = 9",
    ));
    let told = [
        "compress.types[0]: \"html\": a media type is two words and a slash",
        "compress.types[1]: an event stream is never compressed",
        "compress.algorithms[0]: \"brotli\" is not known here",
        "compress.algorithms[2]: \"br\" is there already",
        "compress.min_size: ",
        "compress.level: unknown key",
    ];
    assert_eq!(lines.len(), told.len(), "{lines:#?}");
    for told in told {
        assert!(
            lines.iter().any(|line| line.contains(told)),
            "{told}: {lines:#?}"
        );
    }
    let lines = problems(&with("[compress]\ntypes = []\nalgorithms = []"));
    assert_eq!(lines.len(), 2);
    assert!(
        lines
            .iter()
            .all(|line| line.contains("nothing would be compressed"))
    );
}
