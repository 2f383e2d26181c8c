//! HTTP/2 clients that only cost: their connection gets a GOAWAY, or their stream a reset, and others notice nothing.

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, fields, frame,
};
use crate::support::gateway::everything_to;
use crate::support::{Backend, Conn, Gate, Gateway, Reply, get, within};

const REQUEST: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "site.test"),
    (":path", "/"),
];

/// More than the guard lets anybody send for nothing.
const MANY: usize = 3000;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn next(conn: &mut Conn) -> Option<Frame> {
    let head = conn.try_bytes(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload: conn.try_bytes(length as usize).await?,
    })
}

/// A connection on which `settings` were sent.
async fn open(gateway: &Gateway, settings: &[u8]) -> Conn {
    let mut conn = Conn::open(&gateway.public).await;
    conn.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat())
        .await;
    conn
}

/// Whether the connection is told that it ends, and then does.
async fn ends_with_goaway(conn: &mut Conn) -> bool {
    within("the end of a flood", async {
        let mut told = false;
        while let Some(frame) = next(conn).await {
            told |= frame.kind == GOAWAY;
        }
        told
    })
    .await
}

fn request(stream: u32, end: u8) -> Vec<u8> {
    frame(HEADERS, end | END_HEADERS, stream, &fields(&REQUEST))
}

/// Resets of requests, as many as there are odd numbers below `streams`.
fn resets(streams: u32) -> Vec<u8> {
    let one = |stream| {
        [
            request(stream, END_STREAM),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    };
    (1..streams).step_by(2).flat_map(one).collect()
}

#[tokio::test]
async fn a_flood_of_frames_that_carry_nothing_gets_a_goaway() {
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let upload = request(1, 0);
    for (name, flood) in [
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(MANY)),
        ("answers to pings", frame(PING, 1, 0, &[0; 8]).repeat(MANY)),
        ("settings", frame(SETTINGS, 0, 0, b"").repeat(MANY)),
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 0, 1]).repeat(MANY)),
        (
            "windows",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(MANY),
        ),
        (
            "frames nobody knows",
            frame(0xbe, 0, 0, &[0; 100]).repeat(MANY),
        ),
        (
            "data of nothing",
            [upload.clone(), frame(DATA, 0, 1, b"").repeat(MANY)].concat(),
        ),
        (
            "data of padding",
            [
                upload.clone(),
                frame(DATA, 8, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]).repeat(MANY),
            ]
            .concat(),
        ),
        ("rapid resets", resets(2 * 3000)),
    ] {
        let mut conn = open(&gateway, b"").await;
        conn.send(flood).await;
        assert!(ends_with_goaway(&mut conn).await, "{name}");
        assert_eq!(get(&gateway.public, "/").await.status, 200, "{name}");
    }
    // What hyper ends by itself is not counted: it knows a rule of its own for resets.
    let floods = metric(&gateway, "tidegate_http2_floods_total").await;
    assert!((5..=9).contains(&floods), "{floods}");
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    gateway.publisher().await.metric(name).await
}

#[tokio::test]
async fn resets_that_wait_for_their_requests_to_reach_django_end_as_well() {
    let backend = Backend::start(|_| Reply::hang()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = open(&gateway, b"").await;
    let mut sent = 0;
    for stream in (1..20_000).step_by(2) {
        conn.send(request(stream, END_STREAM)).await;
        conn.send(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
        sent += 1;
        // An answer to a ping comes after what was sent before it was looked at.
        conn.send(frame(PING, 0, 0, &[0; 8])).await;
        let mut alive = false;
        while let Some(frame) = next(&mut conn).await {
            if frame.kind == PING && frame.flags == 1 {
                alive = true;
                break;
            }
        }
        if !alive {
            break;
        }
    }
    assert!((100..=250).contains(&sent), "{sent} requests");
    assert!(backend.count() <= 250, "{} reached Django", backend.count());
}

#[tokio::test]
async fn what_a_client_does_to_be_reset_counts_as_well() {
    let backend = Backend::start(|_| Reply::hang()).await;
    let gateway = Gateway::before(&backend.address, "").await;
    let mut conn = open(&gateway, b"").await;
    for stream in (1..2000).step_by(2) {
        // A window may not grow by nothing: an error of the stream (CVE-2025-8671).
        let wrong = frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
        conn.send([request(stream, END_STREAM), wrong].concat())
            .await;
    }
    assert!(ends_with_goaway(&mut conn).await);
    assert!(backend.count() <= 128, "{} reached Django", backend.count());
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_reset_and_the_others_live() {
    let page = "x".repeat(300_000);
    let backend = Backend::start(move |request| match request.target() {
        "/" => Reply::ok(&page),
        _ => Reply::ok("fine"),
    })
    .await;
    let file = format!(
        "{}[limits]\nbody_idle = \"300ms\"\n",
        everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&file).await;
    // No window for any stream, but for those that are given one.
    let mut conn = open(&gateway, &[0, 4, 0, 0, 0, 0]).await;
    conn.send(request(1, END_STREAM)).await;
    let mut other = 3;
    let code = within("the reset", async {
        loop {
            let frame = next(&mut conn).await.expect("the connection lives");
            match (frame.kind, frame.stream) {
                (RST_STREAM, 1) => return frame.payload,
                (DATA, 1) => panic!("the window is shut"),
                // Each answer asks for the next: the connection is never silent.
                (DATA, answered) if answered == other && frame.flags & END_STREAM != 0 => {
                    other += 2;
                }
                (HEADERS, answered) => {
                    let next = answered + 2;
                    let small: Vec<_> = REQUEST[..3]
                        .iter()
                        .copied()
                        .chain([(":path", "/small")])
                        .collect();
                    let small = frame_of(next, &small);
                    let window = frame_of_window(next);
                    conn.send([small, window].concat()).await;
                }
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(code, [0, 0, 0, 8], "CANCEL");
    assert_eq!(
        metric(&gateway, "tidegate_http2_streams_given_up_total").await,
        1
    );
}

fn frame_of(stream: u32, head: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(head))
}

fn frame_of_window(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &[0, 0, 255, 255])
}

#[tokio::test]
async fn a_client_that_takes_little_but_steadily_gets_everything() {
    const SIZE: usize = 100_000;
    const STEP: u32 = 5000;
    let backend = Backend::start(|_| Reply::ok(&"x".repeat(SIZE))).await;
    let file = format!(
        "{}[limits]\nbody_idle = \"1s\"\n",
        everything_to(&backend.address, "")
    );
    let gateway = Gateway::start(&file).await;
    let mut conn = open(&gateway, &[0, 4, 0, 0, 0, 0]).await;
    conn.send(request(1, END_STREAM)).await;
    let window = frame(WINDOW_UPDATE, 0, 1, &STEP.to_be_bytes());
    let whole = frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes());
    conn.send([whole, window.clone()].concat()).await;
    let (mut taken, mut ended) = (0, false);
    while !ended {
        let frame = next(&mut conn).await.expect("the connection lives");
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == DATA {
            taken += frame.payload.len();
            ended = frame.flags & END_STREAM != 0;
            conn.send(window.clone()).await;
        }
    }
    assert_eq!(taken, SIZE);
}

/// Frames up to one of this kind, which is the last.
async fn until_frame(conn: &mut Conn, kind: u8) -> Vec<Frame> {
    within("a frame", async {
        let mut frames = Vec::new();
        while let Some(frame) = next(conn).await {
            let is_it = frame.kind == kind;
            frames.push(frame);
            if is_it {
                return frames;
            }
        }
        panic!("the connection ended")
    })
    .await
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_request_is_not_lost_with_a_reset() {
    let gateway = Gateway::start("[[route]]\npath = \"/\"\nrespond = { body = \"fixed\" }\n").await;
    let mut conn = open(&gateway, b"").await;
    conn.send(request(1, 0)).await;
    let answer = until_frame(&mut conn, DATA).await;
    assert_eq!(answer.last().unwrap().flags & END_STREAM, END_STREAM);
    // What it sends before it has read that.
    let rest = frame(DATA, END_STREAM, 1, &[b'x'; 4000]);
    conn.send([rest, frame(PING, 0, 0, &[0; 8])].concat()).await;
    let frames = until_frame(&mut conn, PING).await;
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM));
    // One that goes on for ever is told to stop.
    conn.send(request(3, 0)).await;
    until_frame(&mut conn, DATA).await;
    conn.send(frame(DATA, 0, 3, &[b'x'; 16000]).repeat(3)).await;
    let frames = until_frame(&mut conn, RST_STREAM).await;
    let reset = frames.last().unwrap();
    assert_eq!((reset.stream, &*reset.payload), (3, &[0, 0, 0, 0][..]));
}

#[tokio::test]
async fn nor_is_that_of_django_to_an_upload_that_it_does_not_read() {
    let backend = Backend::start_early(|_| Reply::ok("enough").then_hang()).await;
    let gateway = Gateway::before(&backend.address, "buffer_request = false").await;
    let mut conn = open(&gateway, b"").await;
    let mut post = REQUEST.to_vec();
    post[0].1 = "POST";
    post.push(("content-length", "100000"));
    conn.send(frame(HEADERS, END_HEADERS, 1, &fields(&post)))
        .await;
    let answer = until_frame(&mut conn, DATA).await;
    assert_eq!(answer.last().unwrap().flags & END_STREAM, END_STREAM);
    let rest = frame(DATA, 0, 1, &[b'x'; 16000]).repeat(2);
    conn.send([rest, frame(PING, 0, 0, &[0; 8])].concat()).await;
    let frames = until_frame(&mut conn, PING).await;
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM));
}

/// Whether a client that sends `upload`, and more before it has read the answer, gets that, and no
/// reset with it.
async fn answered_without_reset(gateway: &Gateway, upload: &[u8]) {
    let mut conn = open(gateway, b"").await;
    conn.send(upload).await;
    let answer = until_frame(&mut conn, DATA).await;
    let rest = frame(DATA, END_STREAM, 1, &[b'x'; 4000]);
    conn.send([rest, frame(PING, 0, 0, &[0; 8])].concat()).await;
    let after = until_frame(&mut conn, PING).await;
    let mut all = answer.iter().chain(&after);
    assert!(all.all(|frame| frame.kind != RST_STREAM));
    assert_eq!(answer.last().unwrap().flags & END_STREAM, END_STREAM);
}

#[tokio::test]
async fn an_answer_in_the_midst_of_a_body_that_is_read_is_not_lost_with_a_reset() {
    let data = frame(DATA, 0, 1, &[b'x'; 4000]);
    // It turns out to be too long while it is gathered.
    let backend = Backend::start(|_| Reply::ok("fine")).await;
    let limits = "[limits]\nbody = \"1KiB\"\n";
    let text = format!("{limits}{}", everything_to(&backend.address, ""));
    let gateway = Gateway::start(&text).await;
    answered_without_reset(&gateway, &[request(1, 0), data.clone()].concat()).await;
    assert_eq!(backend.count(), 0);
    // Django has seen enough of it, and its answer does not come at once.
    let gate = Gate::new();
    let answer = Reply::raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n").wait(&gate);
    let answer = answer.then("no").close();
    let backend = Backend::start_early(move |_| answer.clone()).await;
    let gateway = Gateway::before(&backend.address, "buffer_request = false").await;
    let length = [&REQUEST[..], &[("content-length", "8000")]].concat();
    let head = frame(HEADERS, END_HEADERS, 1, &fields(&length));
    let opened = async {
        backend.request(0).await;
        gate.open();
    };
    let upload = [head, data].concat();
    tokio::join!(answered_without_reset(&gateway, &upload), opened);
}
