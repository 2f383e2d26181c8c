//! What is a header of the PROXY protocol and what is none, in one piece and in any parts.

use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<(usize, Option<Source>), Malformed> {
    Reader::default().feed(bytes)
}

fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut block = SIGNATURE.to_vec();
    block.extend([command, family]);
    block.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    block.extend(rest);
    block
}

fn client(text: &str) -> Source {
    Source::Client(text.parse().unwrap())
}

const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn a_line_names_the_client() {
    for (text, source) in [
        (
            "PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\r\n",
            client("203.0.113.9:12345"),
        ),
        (
            "PROXY TCP6 2001:db8::9 ::1 1 0\r\n",
            client("[2001:db8::9]:1"),
        ),
        ("PROXY UNKNOWN\r\n", Source::Proxy),
        ("PROXY UNKNOWN ffff::f any thing 1 2\r\n", Source::Proxy),
    ] {
        let bytes = [text.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(read(&bytes), Ok((text.len(), Some(source))), "{text:?}");
    }
}

#[test]
fn a_line_that_is_not_as_it_should_be_names_nobody() {
    for text in [
        "PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 12345\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 12345 443 \r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 12345 443 1\r\n",
        "PROXY TCP4  203.0.113.9 10.0.0.1 12345 443\r\n",
        "PROXY TCP4 203.0.113.09 10.0.0.1 12345 443\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 +1 443\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 01 443\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 2001:db8::9 ::1 1 2\r\n",
        "PROXY TCP6 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY UDP4 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY unknown\r\n",
        "PROXY UNKNOWN\rx\r\n",
        "PROXY \u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\r\n",
    ] {
        assert_eq!(read(text.as_bytes()), Err(Malformed::Line), "{text:?}");
    }
    assert_eq!(
        read(b"PROXY \xff\xff\xff\xff\xff\xff\xff\r\n"),
        Err(Malformed::Line)
    );
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(long.len(), LONGEST_LINE);
    assert_eq!(
        read(long.as_bytes()),
        Ok((LONGEST_LINE, Some(Source::Proxy)))
    );
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(read(longer.as_bytes()), Err(Malformed::TooLong));
}

#[test]
fn what_begins_otherwise_is_no_header_from_its_first_wrong_byte_on() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"G",
        b"PROXX",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\r\n\r\nGET",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_eq!(read(bytes), Err(Malformed::Missing), "{bytes:?}");
    }
}

#[test]
fn a_block_names_the_client_and_what_else_is_in_it_is_skipped() {
    let checksum = [0x03, 0, 4, 1, 2, 3, 4];
    let long = [&V4[..], &[0x20], &4000_u16.to_be_bytes(), &[7; 4000]].concat();
    let mut v6 = [0; ADDRESSES];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    v6[33] = 7;
    for (family, rest, source) in [
        (0x11, V4.to_vec(), client("203.0.113.9:12345")),
        (0x12, V4.to_vec(), client("203.0.113.9:12345")),
        (
            0x11,
            [&V4[..], &checksum].concat(),
            client("203.0.113.9:12345"),
        ),
        (0x11, long, client("203.0.113.9:12345")),
        (0x21, v6.to_vec(), client("[2001::]:7")),
        (0x22, [&v6[..], &checksum].concat(), client("[2001::]:7")),
        (0x31, vec![b'/'; 216], Source::Proxy),
        (0x00, vec![], Source::Proxy),
        (0x00, checksum.to_vec(), Source::Proxy),
    ] {
        let bytes = block(0x21, family, &rest);
        let followed = [&bytes[..], b"GET "].concat();
        assert_eq!(
            read(&followed),
            Ok((bytes.len(), Some(source))),
            "{family:#x}"
        );
        // A proxy that speaks for itself: whatever the family says.
        let own = block(0x20, family, &rest);
        assert_eq!(read(&own), Ok((own.len(), Some(Source::Proxy))));
    }
}

#[test]
fn a_block_that_is_not_as_it_should_be_names_nobody() {
    for (command, family, rest, malformed) in [
        (0x11, 0x11, &V4[..], Malformed::Version),
        (0x22, 0x11, &V4, Malformed::Version),
        (0x31, 0x11, &V4, Malformed::Version),
        (0x21, 0x11, &V4[..11], Malformed::Addresses),
        (0x21, 0x21, &V4, Malformed::Addresses),
        (0x21, 0x31, &V4, Malformed::Addresses),
        (0x21, 0x41, &V4, Malformed::Addresses),
        (0x21, 0x13, &V4, Malformed::Addresses),
        (0x21, 0x01, &V4, Malformed::Addresses),
        (0x21, 0x11, &[0; LONGEST - FIXED + 1], Malformed::TooLong),
    ] {
        let bytes = block(command, family, rest);
        assert_eq!(read(&bytes), Err(malformed), "{command:#x} {family:#x}");
    }
    let most = block(0x20, 0, &[0; LONGEST - FIXED]);
    assert_eq!(read(&most), Ok((LONGEST, Some(Source::Proxy))));
}

/// Gives the bytes in these parts.
fn in_parts(bytes: &[u8], sizes: &[usize]) -> Result<(usize, Option<Source>), Malformed> {
    let mut reader = Reader::default();
    let mut sizes = sizes.iter().copied().cycle();
    let mut taken = 0;
    let mut shown = 0;
    while shown < bytes.len() {
        shown = (shown + sizes.next().unwrap().max(1)).min(bytes.len());
        let (now, source) = reader.feed(&bytes[taken..shown])?;
        taken += now;
        if source.is_some() {
            return Ok((taken, source));
        }
        assert_eq!(taken, shown, "what is not whole takes all there is");
    }
    Ok((taken, None))
}

fn headers() -> impl Strategy<Value = Vec<u8>> {
    let binary = (
        prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()],
        prop_oneof![Just(0x11_u8), Just(0x21), Just(0x31), any::<u8>()],
        prop::collection::vec(any::<u8>(), 0..300),
    );
    let binary = binary.prop_map(|(command, family, rest)| block(command, family, &rest));
    let line =
        "PROXY (TCP4 [0-9.]{7,15} 1.2.3.4|TCP6 [0-9a-f:]{2,39} ::1|UNKNOWN) [0-9 ]{0,60}\r?\n";
    let good = any::<(SocketAddr, SocketAddr)>().prop_map(|(source, other)| {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (ip, other_ip) = (source.ip(), other.ip());
        let (port, other_port) = (source.port(), other.port());
        format!("PROXY {family} {ip} {other_ip} {port} {other_port}\r\n").into_bytes()
    });
    prop_oneof![
        binary,
        line.prop_map(String::into_bytes),
        good,
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn it_is_the_same_however_it_is_cut(
        mut bytes in headers(),
        sizes in prop::collection::vec(1_usize..40, 1..6),
    ) {
        bytes.extend(b"GET / HTTP/1.1\r\n");
        let whole = read(&bytes);
        let cut = in_parts(&bytes, &sizes);
        prop_assert_eq!(&cut, &whole);
        if let Ok((length, Some(_))) = whole {
            // Not a byte more than the header: without its last one there is none.
            prop_assert_eq!(read(&bytes[..length - 1]), Ok((length - 1, None)));
            prop_assert!(length <= LONGEST);
        }
    }
}
