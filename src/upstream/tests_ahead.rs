//! Answers that are read ahead of their clients, in simulated time: any pieces, any pace, any room.

use std::fs::File;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::sleep;

use super::buffers::Whose;
use super::tests::{OK, Site, get};
use super::{
    AnswerBody, AnswerError, Buffers, Families, RequestBody, Room, Server, Settings, Switch,
    Upstream,
};
use crate::base::metrics::Registry;
use crate::domain::ByteSize;

type Opened = fn() -> io::Result<Option<File>>;

const FILES: Opened = || Ok(None);
const NO_DISK: Opened = || Err(io::ErrorKind::PermissionDenied.into());
const FULL_DISK: Opened = || File::create("/dev/full").map(Some);

fn room(memory: u64, files: u64) -> Room {
    Room {
        memory: ByteSize::bytes(memory),
        files: ByteSize::bytes(files),
        ..Room::default()
    }
}

fn upstream(buffer: u64, buffers: &Buffers) -> Upstream {
    let servers = vec![Server::Tcp("unused".to_owned())];
    let mut settings = Settings::new("django", servers);
    settings.buffer_response = Some(ByteSize::bytes(buffer));
    let registry = Registry::default();
    let (families, switch) = (Families::new(&registry), Switch::new(&registry));
    Upstream::new(settings, &families, buffers, &switch)
}

/// Lets everybody do what can be done: the clock goes on only when nobody has anything to do.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Some bytes that are not the same anywhere.
fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// An answer whose head is there.
async fn begun(
    site: &Site,
    upstream: &Upstream,
    head: &str,
) -> (Response<AnswerBody>, DuplexStream) {
    let (lease, mut far) = site.connect(1000);
    far.write_all(format!("{OK}{head}\r\n").as_bytes())
        .await
        .unwrap();
    let answer = get(lease).await.unwrap();
    (upstream.read_ahead(answer), far)
}

#[tokio::test(start_paused = true)]
async fn the_connection_is_free_before_the_client_has_read_anything() {
    // Memory; files; first memory and then files.
    for (buffer, memory, files) in [
        (1 << 20, 1 << 20, 0),
        (0, 0, 8 << 20),
        (100_000, 1 << 20, 8 << 20),
        (1 << 20, 100_000, 8 << 20),
    ] {
        let buffers = Buffers::with_files(&room(memory, files), FILES);
        let (site, upstream) = (Site::new(), upstream(buffer, &buffers));
        let body = bytes(500_000);
        for chunked in [false, true] {
            let (answer, mut far) = if chunked {
                let (answer, mut far) =
                    begun(&site, &upstream, "Transfer-Encoding: chunked\r\n").await;
                for chunk in body.chunks(777) {
                    let size = format!("{:x}\r\n", chunk.len());
                    far.write_all(size.as_bytes()).await.unwrap();
                    far.write_all(chunk).await.unwrap();
                    far.write_all(b"\r\n").await.unwrap();
                }
                far.write_all(b"0\r\n\r\n").await.unwrap();
                (answer, far)
            } else {
                let (answer, mut far) = begun(&site, &upstream, "Content-Length: 500000\r\n").await;
                assert_eq!(answer.body().size_hint().exact(), Some(500_000));
                far.write_all(&body).await.unwrap();
                (answer, far)
            };
            settle().await;
            drop(site.idle().expect("the connection is in the pool"));
            far.read_to_end(&mut Vec::new()).await.unwrap();
            let (in_memory, in_files) = buffers.used();
            assert_eq!(in_memory + in_files, 500_000, "{buffer} {memory} {files}");
            // What is collected for the file is beside what waits in front of it.
            let collected = if buffer == 0 { 0 } else { 64 << 10 };
            assert!(in_memory <= memory.min(buffer + collected));
            let read = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(read == body);
            settle().await;
            assert_eq!(buffers.used(), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_read_as_the_client_takes_it() {
    for (memory, files, opened) in [
        (100_000, 0, FILES),
        (100_000, 8 << 20, NO_DISK),
        (100_000, 8 << 20, FULL_DISK),
        // An eighth of the files for one answer.
        (0, 800_000, FILES),
    ] {
        let buffers = Buffers::with_files(&room(memory, files), opened);
        let (site, upstream) = (Site::new(), upstream(1 << 20, &buffers));
        let body = bytes(1_000_000);
        let (answer, mut far) = begun(&site, &upstream, "Content-Length: 1000000\r\n").await;
        let mut sent = 0;
        let slow = tokio::time::timeout(Duration::from_secs(1), async {
            for piece in body.chunks(1000) {
                far.write_all(piece).await.unwrap();
                sent += piece.len();
            }
        });
        assert!(slow.await.is_err(), "the server waits");
        assert!(
            (100_000..400_000).contains(&sent),
            "{sent} of {memory}, {files}"
        );
        assert!(site.idle().is_none());
        let (read, ()) = tokio::join!(answer.into_body().collect(), async {
            far.write_all(&body[sent..]).await.unwrap();
        });
        assert!(read.unwrap().to_bytes() == body, "{memory} {files}");
        settle().await;
        assert_eq!(buffers.used(), (0, 0));
        assert!(site.idle().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn answers_leave_half_of_the_files_to_requests() {
    let buffers = Buffers::with_files(&room(0, 800_000), FILES);
    let (site, upstream) = (Site::new(), upstream(0, &buffers));
    let mut held = Vec::new();
    for _ in 0..6 {
        let (answer, mut far) = begun(&site, &upstream, "Content-Length: 100000\r\n").await;
        let body = bytes(100_000);
        let sent = tokio::time::timeout(Duration::from_secs(1), far.write_all(&body)).await;
        settle().await;
        held.push((answer, far, sent.is_ok()));
    }
    assert_eq!(held.iter().filter(|(_, _, sent)| *sent).count(), 4);
    assert_eq!(buffers.used().1, 400_000);
    drop(held);
    settle().await;
    assert_eq!(buffers.used(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_leave_half_of_the_open_files_to_requests() {
    let room = Room {
        most_open: 4,
        ..room(0, 8 << 20)
    };
    let buffers = Buffers::with_files(&room, FILES);
    let (site, upstream) = (Site::new(), upstream(0, &buffers));
    let mut held = Vec::new();
    for _ in 0..4 {
        let (answer, mut far) = begun(&site, &upstream, "Content-Length: 100000\r\n").await;
        let body = bytes(100_000);
        let sent = tokio::time::timeout(Duration::from_secs(1), far.write_all(&body)).await;
        settle().await;
        held.push((answer, far, sent.is_ok()));
    }
    assert_eq!(held.iter().filter(|(_, _, sent)| *sent).count(), 2);
    let mut uploads = [0, 1].map(|_| buffers.spill(Whose::Request));
    for upload in &mut uploads {
        upload
            .write(0, vec![Bytes::from_static(b"a")])
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_memory_takes_no_more_of_it_than_is_counted_but_twice() {
    let buffers = Buffers::with_files(&Room::default(), FILES);
    let (site, upstream) = (Site::new(), upstream(1 << 20, &buffers));
    let (lease, mut far) = site.connect(8192);
    let head = format!("{OK}Content-Length: 1000000\r\n\r\n");
    far.write_all(head.as_bytes()).await.unwrap();
    let answer = upstream.read_ahead(get(lease).await.unwrap());
    let body = bytes(1_000_000);
    far.write_all(&body).await.unwrap();
    settle().await;
    assert_eq!(buffers.used().0, 1_000_000);
    let mut left = answer.into_body();
    let (mut read, mut taken) = (Vec::new(), 0);
    while let Some(frame) = left.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        read.extend_from_slice(&data);
        taken += data
            .try_into_mut()
            .map_or_else(|data| data.len(), |data| data.capacity());
    }
    assert!(read == body);
    assert!(taken <= 2_500_000, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_does_so_after_all_that_was_read_of_it() {
    for buffer in [0, 1 << 20] {
        let buffers = Buffers::with_files(&Room::default(), FILES);
        let (site, upstream) = (Site::new(), upstream(buffer, &buffers));
        for head in [
            "Content-Length: 300000\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let (answer, mut far) = begun(&site, &upstream, head).await;
            let body = bytes(200_000);
            if head.starts_with('T') {
                far.write_all(b"493e0\r\n").await.unwrap();
            }
            far.write_all(&body).await.unwrap();
            drop(far);
            settle().await;
            let mut left = answer.into_body();
            let mut read = Vec::new();
            let error = loop {
                match left.frame().await.expect("it breaks off") {
                    Ok(frame) => read.extend(frame.into_data().unwrap()),
                    Err(error) => break error,
                }
            };
            assert!(read == body, "{} bytes", read.len());
            assert!(matches!(error, AnswerError::Broken(_)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_the_reading_and_frees_what_was_read() {
    for buffer in [0, 1 << 20] {
        let buffers = Buffers::with_files(&Room::default(), FILES);
        let (site, upstream) = (Site::new(), upstream(buffer, &buffers));
        let (answer, mut far) = begun(&site, &upstream, "Content-Length: 300000\r\n").await;
        far.write_all(&bytes(200_000)).await.unwrap();
        settle().await;
        assert_ne!(buffers.used(), (0, 0));
        drop(answer);
        far.read_to_end(&mut Vec::new()).await.unwrap();
        settle().await;
        assert_eq!(buffers.used(), (0, 0));
        assert!(site.idle().is_none());
        upstream.close(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_while_nobody_reads() {
    let buffers = Buffers::with_files(&Room::default(), FILES);
    let (site, upstream) = (Site::new(), upstream(1 << 20, &buffers));
    let (answer, mut far) = begun(&site, &upstream, "Content-Length: 9\r\n").await;
    far.read_to_end(&mut Vec::new()).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert!(matches!(error, AnswerError::Idle));
}

#[tokio::test(start_paused = true)]
async fn some_answers_are_passed_on_as_they_come() {
    let buffers = Buffers::with_files(&Room::default(), FILES);
    for (buffer, head) in [
        (Some(1 << 20), "Content-Type: text/event-stream\r\n"),
        (Some(1 << 20), "X-Accel-Buffering: No\r\n"),
        (None, ""),
    ] {
        let site = Site::new();
        let mut settings = Settings::new("django", Vec::new());
        settings.buffer_response = buffer.map(ByteSize::bytes);
        let registry = Registry::default();
        let (families, switch) = (Families::new(&registry), Switch::new(&registry));
        let upstream = Upstream::new(settings, &families, &buffers, &switch);
        let (_answer, mut far) = begun(&site, &upstream, head).await;
        let body = bytes(100_000);
        let sent = tokio::time::timeout(Duration::from_secs(1), far.write_all(&body)).await;
        assert!(sent.is_err(), "{head}: nobody reads");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_right_behind_its_head_takes_no_task() {
    let buffers = Buffers::with_files(&Room::default(), NO_DISK);
    let upstream = upstream(0, &buffers);
    for (head, first, then) in [
        ("Content-Length: 5\r\n", "", "hello"),
        ("Content-Length: 10\r\n", "hello", "there"),
        (
            "Transfer-Encoding: chunked\r\n",
            "",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let site = Site::new();
        let (lease, mut far) = site.connect(1000);
        far.write_all(format!("{OK}{head}\r\n{first}").as_bytes())
            .await
            .unwrap();
        let answer = get(lease).await.unwrap();
        far.write_all(then.as_bytes()).await.unwrap();
        let answer = upstream.read_ahead(answer);
        assert!(site.idle().is_some(), "{head}");
        assert!(answer.body().is_whole());
        let read = answer.into_body().collect().await.unwrap().to_bytes();
        let body = if first.is_empty() {
            "hello"
        } else {
            "hellothere"
        };
        assert_eq!(read, body);
    }
}

#[test]
fn a_share_of_a_body_in_memory_lives_as_long_as_its_bytes() {
    let buffers = Buffers::with_files(&room(10, 0), FILES);
    let mut share = buffers.memory();
    assert!(share.grow(6) && !share.grow(5));
    let body = RequestBody::Memory(share.keep(Bytes::from_static(b"abcdef")));
    let again = body.again().unwrap();
    drop(body);
    assert_eq!(buffers.used(), (6, 0));
    drop(again);
    assert_eq!(buffers.used(), (0, 0));
}

/// How an answer is sent and read.
#[derive(Debug, Clone)]
struct Course {
    /// The pieces, and how long the server waits after each, in milliseconds.
    pieces: Vec<(usize, u64)>,
    /// How long the client waits after each frame; over and over.
    pauses: Vec<u64>,
    framing: Framing,
    /// Whether it ends before its end.
    breaks: bool,
    buffer: u64,
    memory: u64,
    files: u64,
    opened: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    Close,
}

fn course() -> impl Strategy<Value = Course> {
    let sizes = prop_oneof![Just(0_u64), Just(5_000), Just(70_000), Just(1 << 24)];
    let piece = prop_oneof![1_usize..20, 1_usize..5_000, 1_usize..100_000];
    let pause = prop_oneof![3 => Just(0_u64), 1 => 1_u64..5];
    let framing = prop_oneof![
        Just(Framing::Length),
        Just(Framing::Chunked),
        Just(Framing::Close)
    ];
    (
        proptest::collection::vec((piece, pause.clone()), 1..20),
        proptest::collection::vec(pause, 1..8),
        framing,
        any::<bool>(),
        sizes.clone(),
        sizes.clone(),
        sizes,
        0_usize..4,
    )
        .prop_map(
            |(pieces, pauses, framing, breaks, buffer, memory, files, opened)| Course {
                pieces,
                pauses,
                // What ends with the connection cannot break off unseen.
                breaks: breaks && framing != Framing::Close,
                framing,
                buffer,
                memory,
                files,
                opened,
            },
        )
}

impl Course {
    async fn run(self) {
        let opened = [FILES, FILES, NO_DISK, FULL_DISK][self.opened];
        let buffers = Buffers::with_files(&room(self.memory, self.files), opened);
        let (site, upstream) = (Site::new(), upstream(self.buffer, &buffers));
        let length: usize = self.pieces.iter().map(|(length, _)| length).sum();
        let body = bytes(length);
        let head = match self.framing {
            Framing::Length => {
                format!("Content-Length: {}\r\n", length + usize::from(self.breaks))
            }
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::Close => String::new(),
        };
        let (answer, mut far) = begun(&site, &upstream, &head).await;
        let server = async {
            let mut rest = &body[..];
            for (length, pause) in &self.pieces {
                let (piece, after) = rest.split_at(*length);
                rest = after;
                if self.framing == Framing::Chunked {
                    let size = format!("{:x}\r\n", piece.len());
                    far.write_all(size.as_bytes()).await.unwrap();
                }
                far.write_all(piece).await.unwrap();
                if self.framing == Framing::Chunked {
                    far.write_all(b"\r\n").await.unwrap();
                }
                sleep(Duration::from_millis(*pause)).await;
            }
            if self.framing == Framing::Chunked && !self.breaks {
                far.write_all(b"0\r\n\r\n").await.unwrap();
            }
            drop(far);
        };
        let client = async {
            let mut left = answer.into_body();
            let mut read = Vec::new();
            let mut pauses = self.pauses.iter().cycle();
            loop {
                match left.frame().await {
                    Some(Ok(frame)) => read.extend(frame.into_data().unwrap()),
                    Some(Err(_)) => return (read, true),
                    None => return (read, false),
                }
                sleep(Duration::from_millis(*pauses.next().unwrap())).await;
            }
        };
        let ((read, broke), ()) = tokio::join!(client, server);
        assert_eq!(broke, self.breaks, "{} bytes came", read.len());
        assert!(read == body, "{} bytes came", read.len());
        settle().await;
        assert_eq!(buffers.used(), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_pace_and_any_room_give_the_same_bytes(course in course()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(course.run());
    }
}
