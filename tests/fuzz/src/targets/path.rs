//! The one reader of a path: whatever it takes has one meaning, and can be written so that it reads back.

use tidegate::wire::path::{decode, encode_segment, hides_separator};

pub fn check(data: &[u8]) -> Option<()> {
    let raw = std::str::from_utf8(data).ok()?;
    let hides = hides_separator(raw);
    if let Ok(path) = decode(raw) {
        assert!(path.starts_with('/') && !path.bytes().any(|b| b.is_ascii_control()));
        assert!(
            path.split(['/', '\\'])
                .all(|segment| segment != "." && segment != "..")
        );
        let segments: Vec<String> = path.split('/').map(encode_segment).collect();
        assert_eq!(decode(&segments.join("/")).as_deref(), Ok(&*path));
        if !hides {
            assert_eq!(path.matches('/').count(), raw.matches('/').count());
            assert!(
                !path.contains(['\\', '%']),
                "decoded twice it is another path"
            );
        }
    }
    let segment = encode_segment(raw);
    assert!(!segment.contains(['/', '?', '#', '\\', ';']) && segment.is_ascii());
    if let Ok(path) = decode(&format!("/{segment}")) {
        assert_eq!(&path[1..], raw);
    }
    Some(())
}
