//! Tests of the instructions in headers, with the very lines that the packages send.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn read(lines: &[(&str, &str)]) -> Result<Instruct, BadInstruct> {
    Instruct::of_headers(&map(lines))
}

fn names(instruct: &Instruct) -> Vec<&str> {
    instruct.channels.iter().map(|c| &*c.name).collect()
}

#[test]
fn the_headers_of_django_eventstream() {
    let link = "/events/?channel=room&link=next&recover=true&es-meta=eyJ0.eyJp.c2ln";
    let headers = map(&[
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache"),
        ("X-Accel-Buffering", "no"),
        ("Grip-Hold", "stream"),
        (
            "Grip-Channel",
            "events-room; prev-id=7; filter=build-id; filter=skip-users, \
             user-anonymous; filter=require-sub",
        ),
        (
            "Grip-Set-Meta",
            r#"id_format="room:%(events-room)s", user="anonymous""#,
        ),
        (
            "Grip-Keep-Alive",
            r"event: keep-alive\ndata:\n\n; format=cstring; timeout=20",
        ),
        ("Grip-Link", &format!("<{link}>; rel=next")),
    ]);
    assert!(is_instruct(&headers) && !has_instruct_body(&headers));
    let instruct = Instruct::of_headers(&headers).unwrap();
    let filters = |names: &[&str]| Filters::named(names.iter().copied()).unwrap();
    assert_eq!(
        instruct,
        Instruct {
            mode: Some(Mode::Stream),
            channels: vec![
                Channel {
                    name: "events-room".into(),
                    prev_id: Some("7".into()),
                    filters: filters(&["build-id", "skip-users"]),
                },
                Channel {
                    name: "user-anonymous".into(),
                    prev_id: None,
                    filters: filters(&["require-sub"]),
                },
            ],
            keep_alive: Some(KeepAlive {
                data: "event: keep-alive\ndata:\n\n".into(),
                timeout: Duration::from_secs(20),
                mode: KeepAliveMode::Idle,
            }),
            next: Some(Link {
                uri: link.into(),
                timeout: None,
            }),
            meta: vec![
                ("id_format".into(), "room:%(events-room)s".into()),
                ("user".into(), "anonymous".into()),
            ],
            ..Instruct::default()
        }
    );
    let mut left = headers;
    clean(&mut left, &instruct);
    let mut left: Vec<_> = left.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["cache-control", "content-type", "x-accel-buffering"]);
}

#[test]
fn an_answer_is_an_instruction_by_a_header_or_by_its_type() {
    assert!(is_instruct(&map(&[("GRIP-Set-Meta", "")])));
    let body = map(&[("Content-Type", "Application/GRIP-Instruct; charset=utf-8")]);
    assert!(is_instruct(&body) && has_instruct_body(&body));
    let plain = [
        ("Content-Type", "application/json"),
        ("X-Grip-Hold", "stream"),
    ];
    assert!(!is_instruct(&map(&plain)));
    assert_eq!(Instruct::of_headers(&map(&plain)), Ok(Instruct::default()));
}

#[test]
fn channels_come_on_one_line_or_on_many_and_the_first_counts() {
    let instruct = read(&[
        ("Grip-Channel", "a; prev-id=1, b;Filter=skip-self"),
        ("Grip-Channel", "c, a; prev-id=2; filter=skip-self"),
    ]);
    let instruct = instruct.unwrap();
    assert_eq!(names(&instruct), ["a", "b", "c"]);
    assert_eq!(instruct.channels[0].prev_id.as_deref(), Some("1"));
    assert!(instruct.channels[0].filters.is_empty() && !instruct.channels[1].filters.is_empty());
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        read(&[("Grip-Channel", &names.join(", "))])
    };
    assert!(many(MOST_CHANNELS).is_ok());
    assert_eq!(many(MOST_CHANNELS + 1), Err(BadInstruct::TooManyChannels));
    let six = format!("a{}", "; filter=skip-self".repeat(6));
    assert_eq!(
        read(&[("Grip-Channel", &six)]),
        Err(BadInstruct::TooManyFilters)
    );
}

#[test]
fn polls_have_a_timeout_and_a_status() {
    let instruct = read(&[
        ("Grip-Hold", "response"),
        ("Grip-Timeout", "30"),
        ("Grip-Status", "304 Not Modified, as it were"),
        ("Grip-Expose-Headers", "A, Content-Type"),
        ("Grip-Expose-Headers", ""),
    ]);
    let instruct = instruct.unwrap();
    assert_eq!(instruct.mode, Some(Mode::Response));
    assert_eq!(instruct.timeout, Some(Duration::from_secs(30)));
    assert_eq!(instruct.status, Some(StatusCode::NOT_MODIFIED));
    let reason = instruct.reason.as_deref();
    assert_eq!(reason, Some("Not Modified, as it were"));
    let mut headers = map(&[
        ("Content-Type", "text/html"),
        ("Content-Length", "4"),
        ("Set-Cookie", "a=b"),
        ("Grip-Hold", "response"),
        ("A", "1"),
        ("A", "2"),
    ]);
    clean(&mut headers, &instruct);
    let expected = [("Content-Type", "text/html"), ("A", "1"), ("A", "2")];
    assert_eq!(headers, map(&expected));
    let short = read(&[("Grip-Timeout", "0")]).unwrap();
    assert_eq!(short.timeout, Some(Duration::from_secs(5)));
}

#[test]
fn only_what_is_held_loses_its_encoding() {
    let all = [
        ("Content-Encoding", "gzip"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
    ];
    let (mut plain, mut held) = (map(&all), map(&all));
    clean(&mut plain, &Instruct::default());
    clean(&mut held, &read(&[("Grip-Hold", "stream")]).unwrap());
    assert_eq!((plain, held), (map(&all[..1]), HeaderMap::new()));
}

#[test]
fn a_link_is_next_or_gone() {
    let instruct = read(&[
        (
            "Grip-Link",
            "</a;b,c?d>; rel=next; timeout=60, <x>; rel=prev",
        ),
        ("Grip-Link", r#"<http://h/gone>; Rel="gone""#),
        ("Grip-Link", "</late>; rel=next"),
    ]);
    let instruct = instruct.unwrap();
    let next = instruct.next.unwrap();
    assert_eq!(&*next.uri, "/a;b,c?d");
    assert_eq!(next.timeout, Some(Duration::from_secs(60)));
    assert_eq!(&*instruct.gone.unwrap().uri, "http://h/gone");
    for bad in ["/a; rel=next", "<>; rel=next", "</a>; rel=next; timeout=x"] {
        assert_eq!(read(&[("Grip-Link", bad)]), Err(BadInstruct::Link), "{bad}");
    }
}

#[test]
fn meta_is_bounded_and_its_last_value_counts() {
    let instruct = read(&[
        ("Grip-Set-Meta", r#"a="x, \"y\" \\", b=c"#),
        ("Grip-Set-Meta", "b=d"),
    ]);
    let expected = [("a".into(), r#"x, "y" \"#.into()), ("b".into(), "d".into())];
    assert_eq!(instruct.unwrap().meta, expected);
    let many = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!("{n}=x")).collect();
        read(&[("Grip-Set-Meta", &all.join(","))])
    };
    assert!(many(64).is_ok());
    assert_eq!(many(65), Err(BadInstruct::Meta));
    let long = |length| read(&[("Grip-Set-Meta", &format!("a={}", "x".repeat(length)))]);
    assert!(long(8191).is_ok());
    assert_eq!(long(8192), Err(BadInstruct::Meta));
}

#[test]
fn what_cannot_be_read_is_never_read_as_less() {
    for (name, value, expected) in [
        ("Grip-Hold", "websocket", BadInstruct::Hold),
        ("Grip-Hold", "", BadInstruct::Hold),
        ("Grip-Timeout", "-1", BadInstruct::Timeout),
        ("Grip-Timeout", "soon", BadInstruct::Timeout),
        ("Grip-Status", "", BadInstruct::Status),
        ("Grip-Status", "101", BadInstruct::Status),
        ("Grip-Status", "1000", BadInstruct::Status),
        ("Grip-Channel", "; prev-id=4", BadInstruct::Channel),
        ("Grip-Expose-Headers", "a b", BadInstruct::Expose),
    ] {
        assert_eq!(read(&[(name, value)]), Err(expected), "{name}: {value}");
    }
    let unclosed = read(&[("Grip-Channel", "a; prev-id=\"4")]);
    assert!(matches!(
        unclosed,
        Err(BadInstruct::Header {
            header: "Grip-Channel",
            ..
        })
    ));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(b"a\xff").unwrap();
    headers.insert("grip-channel", value);
    let instruct = Instruct::of_headers(&headers).unwrap();
    assert_eq!(
        &*instruct.channels[0].name, "a\u{ff}",
        "Latin-1, as Django writes it"
    );
}
