//! The PROXY protocol: the first byte says into how many parts the rest is cut. However it comes, it is the same header,
//! and nothing after it is taken.

use tidegate::wire::proxy_protocol::{Malformed, Reader, Source};

type Read = Result<(usize, Option<Source>), Malformed>;

pub fn check(data: &[u8]) -> Option<()> {
    let (&step, bytes) = data.split_first()?;
    let whole = Reader::default().feed(bytes);
    assert_eq!(in_steps(bytes, usize::from(step).max(1)), whole);
    match whole {
        Ok((length, Some(source))) => {
            assert!(length <= 4096);
            let (header, _) = bytes.split_at(length);
            assert_eq!(Reader::default().feed(header), Ok((length, Some(source))));
            let (most, _) = header.split_at(length - 1);
            assert_eq!(Reader::default().feed(most), Ok((length - 1, None)));
        }
        Ok((length, None)) => assert_eq!(length, bytes.len()),
        Err(Malformed::Missing) => return None,
        Err(_) => {}
    }
    Some(())
}

fn in_steps(bytes: &[u8], step: usize) -> Read {
    let mut reader = Reader::default();
    let (mut taken, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = (shown + step).min(bytes.len());
        let (now, source) = reader.feed(&bytes[taken..shown])?;
        taken += now;
        if source.is_some() {
            return Ok((taken, source));
        }
        assert_eq!(taken, shown);
    }
    Ok((taken, None))
}
