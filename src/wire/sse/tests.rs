//! The writer and the parser against each other and against the standard's examples.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    Epoch, Event, EventId, EventName, Frame, Keep, Position, PublisherId, RetryMs,
};

fn own() -> EventId {
    EventId {
        epoch: Epoch::from_random(0xab),
        position: Position::after(7),
    }
}

fn plain(data: &str) -> Event {
    Event {
        channels: Vec::new(),
        name: None,
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        id: None,
        retry: None,
        close: false,
        keep: Keep::All,
        except: None,
    }
}

fn encoded(data: &str) -> String {
    String::from_utf8(event(&plain(data), own()).as_bytes().to_vec()).unwrap()
}

fn parsed(text: &[u8]) -> Vec<Parsed> {
    Parser::new(1 << 20).feed(text).unwrap()
}

fn message(data: &str, id: &str) -> Parsed {
    Parsed {
        event: "message".to_owned(),
        data: data.to_owned(),
        id: id.to_owned(),
        has_id: !id.is_empty(),
        retry: None,
    }
}

/// What a browser makes of the line ends of `data`.
fn normalised(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

#[test]
fn an_event_is_written_in_a_fixed_order() {
    let full = Event {
        name: Some(EventName::parse("tick").unwrap()),
        id: Some(PublisherId::parse("p 1").unwrap()),
        retry: Some(RetryMs(50)),
        ..plain("a\nb")
    };
    let frame = event(&full, own());
    assert_eq!(
        frame.as_bytes(),
        b"event: tick\nid: p 1\nretry: 50\ndata: a\ndata: b\n\n"
    );
    assert_eq!(encoded("x"), "id: 00000000ab-7\ndata: x\n\n");
}

#[test]
fn every_line_end_of_the_data_begins_a_data_line() {
    for (data, lines) in [
        ("", "data: \n\n"),
        ("a\rb", "data: a\ndata: b\n\n"),
        ("a\r\nb\n", "data: a\ndata: b\ndata: \n\n"),
        ("\r\r\n\n", "data: \ndata: \ndata: \ndata: \n\n"),
        (" a", "data:  a\n\n"),
    ] {
        assert_eq!(
            encoded(data),
            format!("id: 00000000ab-7\n{lines}"),
            "{data:?}"
        );
    }
}

#[test]
fn a_bare_close_says_only_its_id() {
    let bare = Event {
        data: None,
        close: true,
        ..plain("")
    };
    assert_eq!(event(&bare, own()), place(own()));
}

#[test]
fn the_small_pieces_are_as_the_contract_says() {
    let text = |frame: Frame| String::from_utf8(frame.as_bytes().to_vec()).unwrap();
    assert_eq!(
        text(head(RetryMs(3000), Some("x-1"))),
        "retry: 3000\n: stream open\nid: x-1\n\n"
    );
    assert_eq!(text(head(RetryMs(1), None)), "retry: 1\n: stream open\n\n");
    assert_eq!(head(RetryMs(1), Some("a\rdata: b")), head(RetryMs(1), None));
    assert_eq!(text(place(own())), "id: 00000000ab-7\n\n");
    assert_eq!(text(retry(RetryMs(9))), "retry: 9\n\n");
    assert_eq!(
        text(reset("a\"\r\nb", Some(own()))),
        "event: reset\nid: 00000000ab-7\ndata: {\"reason\":\"a\\\"\\r\\nb\"}\n\n"
    );
    let name = EventName::parse("ping").unwrap();
    assert_eq!(
        text(named(&name, "1\n2")),
        "event: ping\ndata: 1\ndata: 2\n\n"
    );
    assert!(parsed(HEARTBEAT).is_empty());
}

#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    assert_eq!(
        parsed(b"data: YHOO\ndata: +2\ndata: 10\n\n"),
        [message("YHOO\n+2\n10", "")]
    );
    assert_eq!(
        parsed(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
        [
            message("first event", "1"),
            Parsed { has_id: true, ..message("second event", "") },
            message(" third event", ""),
        ]
    );
    assert_eq!(
        parsed(b"data\n\ndata\ndata\n\ndata:"),
        [message("", ""), message("\n", "")]
    );
    assert_eq!(
        parsed(b"data:test\n\ndata: test\n\n"),
        [message("test", ""), message("test", "")]
    );
}

#[test]
fn odd_fields_are_ignored() {
    assert_eq!(
        parsed(b"\xef\xbb\xbfid: a\nid: b\0\nretry: 5x\nretry: +5\nretry:\nDATA: n\n data: n\nfoo\ndata: y\n\n"),
        [message("y", "a")]
    );
    let mut parser = Parser::new(100);
    assert_eq!(
        parser.feed(b"retry: 7\nid: z\nevent: lost\n\n").unwrap(),
        []
    );
    assert_eq!(parser.last_event_id(), "z");
    let next = Parsed {
        retry: Some(7),
        has_id: false,
        ..message("y", "z")
    };
    assert_eq!(parser.feed(b"data: y\n\n").unwrap(), [next]);
}

#[test]
fn an_id_that_only_sticks_is_told_from_one_of_the_event() {
    let events = parsed(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid: 2\ndata: d\n\n");
    let ids: Vec<_> = events.iter().map(|e| (e.id.as_str(), e.has_id)).collect();
    assert_eq!(ids, [("1", true), ("1", false), ("2", false), ("2", true)]);
}

#[test]
fn an_event_beyond_the_limit_ends_the_parser() {
    let mut parser = Parser::new(20);
    assert_eq!(parser.feed(b"data: 12345678901234").unwrap(), []);
    assert_eq!(parser.feed(b"\n\n").unwrap().len(), 1);
    assert_eq!(
        parser
            .feed(b"data: a\n\n: 345678901234567890x")
            .unwrap()
            .len(),
        1
    );
    assert!(parser.too_large());
    assert_eq!(parser.feed(b"\n\ndata: a\n\n"), Err(TooLarge { max: 20 }));
    let many_lines = b"data: 1\n".repeat(9);
    assert!(Parser::new(20).feed(&many_lines).is_err());
    // Nine bytes that are no UTF-8 are 27 when they are read.
    let foreign = b"data: \xff\xff\xff\xff\xff\xff\xff\xff\xff\n\n";
    assert!(Parser::new(20).feed(foreign).is_err());
    assert_eq!(Parser::new(40).feed(foreign).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn data_reads_back_and_forges_nothing(data in "(.|\r|\n|data:|id: |event: | ){0,40}", name in "[^\r\n\0]{1,10}") {
        let event_name = EventName::parse(&name).unwrap();
        let published = Event { name: Some(event_name.clone()), ..plain(&data) };
        let expected = Parsed { event: name, ..message(&normalised(&data), &own().to_string()) };
        let frame = event(&published, own()).to_bytes();
        prop_assert_eq!(parsed(&frame), [expected.clone()]);
        prop_assert_eq!(parsed(named(&event_name, &data).as_bytes()), [Parsed { id: String::new(), has_id: false, ..expected }]);
    }

    #[test]
    fn where_the_bytes_are_cut_changes_nothing(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("\r"), Just("\n"), Just("\r\n"), Just("data"), Just("id"), Just("event"), Just("retry"),
                Just(":"), Just(" "), Just("7"), Just("\0"), Just("ä"), Just("\u{feff}"), Just("data: x\n\n"),
            ], 0..40),
        cuts in proptest::collection::vec(0_usize..5, 1..40),
    ) {
        let text = pieces.concat().into_bytes();
        let mut parser = Parser::new(1 << 20);
        let mut events = Vec::new();
        let mut rest = text.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            events.extend(parser.feed(piece).unwrap());
            rest = after;
        }
        events.extend(parser.feed(rest).unwrap());
        prop_assert_eq!(events, parsed(&text));
    }

    #[test]
    fn any_bytes_are_read_within_the_limit(bytes: Vec<u8>, max in 0_usize..64) {
        let mut parser = Parser::new(max);
        for byte in bytes {
            let _outcome = parser.feed(&[byte]);
        }
    }
}
