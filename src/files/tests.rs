//! Opening and reading: codings, validators, roots that are replaced, disks that do not answer.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::body::PIECE;
use super::*;

fn files() -> Files {
    Files::new(8, &Registry::default())
}

fn root(path: &Path) -> Root {
    files().root(Settings::new(path.to_owned()))
}

fn name(path: &str) -> Name {
    Name::parse(path, DotFiles::Hidden).unwrap()
}

async fn open(root: &Root, path: &str, codings: &[Coding]) -> Opened {
    match root.open(&name(path), codings).await.unwrap() {
        Entry::File(opened) => opened,
        Entry::Directory => panic!("{path} is a directory"),
    }
}

async fn text(root: &Root, path: &str, codings: &[Coding]) -> String {
    let opened = open(root, path, codings).await;
    let all = 0..opened.length();
    match opened.read(&name(path), all).await.unwrap() {
        Content::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Content::Rest(_) => panic!("{path} is long"),
    }
}

#[tokio::test]
async fn the_first_coding_that_is_beside_a_file_stands_for_it() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("a", "plain"),
        ("a.br", "brotli"),
        ("a.gz", "gzip"),
        ("b", "plain"),
        ("c.gz", "lone"),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    fs::create_dir(folder.path().join("b.gz")).unwrap();
    let root = root(folder.path());
    let all = [Coding::Zstd, Coding::Gzip, Coding::Brotli];
    assert_eq!(text(&root, "a", &all).await, "gzip");
    assert_eq!(text(&root, "a", &[Coding::Brotli]).await, "brotli");
    assert_eq!(text(&root, "a", &[]).await, "plain");
    assert_eq!(text(&root, "b", &all).await, "plain");
    assert!(matches!(
        root.open(&name("c"), &all).await,
        Err(FileError::Missing)
    ));
    let (plain, gzip) = (open(&root, "a", &[]).await, open(&root, "a", &all).await);
    assert_eq!((plain.coding, gzip.coding), (None, Some(Coding::Gzip)));
    assert_ne!(plain.etag(), gzip.etag());
    assert!(gzip.etag().ends_with("-4-gzip\""), "{}", gzip.etag());
}

#[tokio::test]
async fn another_content_has_another_tag_and_a_time_is_never_in_the_future() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "one").unwrap();
    let root = root(folder.path());
    let first = open(&root, "a", &[]).await.etag();
    assert_eq!(open(&root, "a", &[]).await.etag(), first);
    fs::write(&path, "three").unwrap();
    assert_ne!(open(&root, "a", &[]).await.etag(), first);
    let now = SystemTime::now();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(now + Duration::from_secs(100_000))
        .unwrap();
    let modified = open(&root, "a", &[]).await.modified();
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((now..now + 1000).contains(&modified));
    file.set_modified(UNIX_EPOCH - Duration::from_secs(5))
        .unwrap();
    assert_eq!(open(&root, "a", &[]).await.modified(), 0);
}

#[tokio::test]
async fn a_long_file_comes_in_pieces_and_a_part_is_that_part() {
    let folder = tempfile::tempdir().unwrap();
    let long: Vec<u8> = (0..3 * PIECE + 17)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    fs::write(folder.path().join("a"), &long).unwrap();
    let root = root(folder.path());
    for part in [0..long.len(), 5..long.len() - 5, PIECE..2 * PIECE, 7..8] {
        let opened = open(&root, "a", &[]).await;
        let range = part.start as u64..part.end as u64;
        let read = match opened.read(&name("a"), range).await.unwrap() {
            Content::Whole(bytes) => bytes,
            Content::Rest(body) => {
                assert_eq!(body.size_hint().exact(), Some(part.len() as u64));
                body.collect().await.unwrap().to_bytes()
            }
        };
        assert!(read == long[part.clone()], "{part:?}");
    }
}

#[tokio::test]
async fn a_file_that_becomes_shorter_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, vec![b'x'; 3 * PIECE]).unwrap();
    let root = root(folder.path());
    let opened = open(&root, "a", &[]).await;
    let Content::Rest(mut body) = opened.read(&name("a"), 0..3 * PIECE as u64).await.unwrap()
    else {
        panic!("it is long");
    };
    assert_eq!(
        body.frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len(),
        PIECE
    );
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(PIECE as u64 + 5)
        .unwrap();
    assert_eq!(
        body.frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len(),
        5
    );
    assert!(matches!(
        body.frame().await,
        Some(Err(ReadError::Truncated))
    ));
    assert!(body.frame().await.is_none());

    let opened = open(&root, "a", &[]).await;
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    let read = opened.read(&name("a"), 0..5).await;
    assert!(matches!(read, Err(FileError::Disk { .. })));
}

#[tokio::test]
async fn whatever_is_no_file_of_ours_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("a"), "x").unwrap();
    fs::create_dir(path.join("b")).unwrap();
    symlink("/etc/hostname", path.join("out")).unwrap();
    symlink("round", path.join("round")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    let root = root(path);
    for file in ["none", "a/b", "out", "round", "socket"] {
        let opened = root.open(&name(file), &[]).await;
        assert!(
            matches!(opened, Err(FileError::Missing)),
            "{file}: {opened:?}"
        );
    }
    assert!(matches!(
        root.open(&name("b"), &[]).await,
        Ok(Entry::Directory)
    ));
    fs::set_permissions(path.join("a"), fs::Permissions::from_mode(0o0)).unwrap();
    // Root may read anything.
    if !rustix::process::geteuid().is_root() {
        assert!(matches!(
            root.open(&name("a"), &[]).await,
            Err(FileError::Forbidden)
        ));
    }
}

#[tokio::test]
async fn a_root_that_is_not_there_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder.path().join("later"));
    let opened = root.open(&name("a"), &[]).await;
    assert!(matches!(opened, Err(FileError::Root { .. })), "{opened:?}");
    fs::create_dir(folder.path().join("later")).unwrap();
    fs::write(folder.path().join("later/a"), "x").unwrap();
    assert_eq!(text(&root, "a", &[]).await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_replaced_is_found_again_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["one", "two"] {
        fs::create_dir(folder.path().join(release)).unwrap();
        fs::write(folder.path().join(release).join("a"), release).unwrap();
    }
    let current = folder.path().join("current");
    symlink("one", &current).unwrap();
    let root = root(&current);
    assert_eq!(text(&root, "a", &[]).await, "one");
    fs::remove_file(&current).unwrap();
    symlink("two", &current).unwrap();
    assert_eq!(text(&root, "a", &[]).await, "one");
    tokio::time::advance(ROOT_AGE).await;
    assert_eq!(text(&root, "a", &[]).await, "two");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_is_sent_away() {
    let registry = Registry::default();
    let files = Files::with_slots(0, 8, &registry);
    let since = Instant::now();
    assert!(files.wait("open", || ()).await.is_err());
    assert_eq!(since.elapsed(), PATIENCE);
    let text = registry.text();
    assert!(
        text.contains("tidegate_file_disk_timeouts_total 1"),
        "{text}"
    );
    assert!(
        text.contains("tidegate_file_disk_waits_total{what=\"open\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_thread_that_waited_gives_its_turn_back() {
    let files = Files::with_slots(1, 8, &Registry::default());
    for number in 0..3 {
        assert_eq!(files.wait("open", move || number).await.unwrap(), number);
    }
}

#[tokio::test]
async fn so_many_long_files_are_open_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long"), vec![b'x'; PIECE + 1]).unwrap();
    fs::write(folder.path().join("short"), "short").unwrap();
    let registry = Registry::default();
    let root = Files::new(1, &registry).root(Settings::new(folder.path().to_owned()));
    let long = async || {
        let opened = open(&root, "long", &[]).await;
        let all = 0..opened.length();
        opened.read(&name("long"), all).await
    };
    let first = long().await.unwrap();
    assert!(matches!(first, Content::Rest(_)));
    assert!(matches!(long().await, Err(FileError::Descriptors)));
    // What is read at once is closed at once.
    assert_eq!(text(&root, "short", &[]).await, "short");
    drop(first);
    assert!(long().await.is_ok());
    assert!(registry.text().contains("tidegate_files_full_total 1"));
}

#[tokio::test]
async fn each_failure_of_the_system_has_its_meaning() {
    let root = root(Path::new("/nowhere"));
    let of = |unopened| root.explain(&name("a"), unopened);
    for error in [Errno::MFILE, Errno::NFILE] {
        for unopened in [Unopened::File(error), Unopened::Root(error)] {
            assert!(matches!(of(unopened), FileError::Descriptors));
        }
    }
    assert!(matches!(
        of(Unopened::Root(Errno::NOENT)),
        FileError::Root { .. }
    ));
    assert!(matches!(
        of(Unopened::File(Errno::IO)),
        FileError::Disk { .. }
    ));
    assert!(matches!(
        of(Unopened::File(Errno::ACCESS)),
        FileError::Forbidden
    ));
    for error in [Errno::NOENT, Errno::XDEV, Errno::LOOP, Errno::NAMETOOLONG] {
        assert!(matches!(of(Unopened::File(error)), FileError::Missing));
    }
}
