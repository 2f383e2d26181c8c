//! What shared caches may make of files: nothing that some may not see, and nothing that is not the file.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway};

const HASHED: &str = "app.0123456789ab.css";

/// A gateway with files for all, and for those with a password.
async fn site() -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for file in [HASHED, "app.css"] {
        fs::write(folder.path().join(file), "body {}").unwrap();
    }
    let hash = bcrypt::hash("right", 4).unwrap();
    let root = folder.path().display();
    let files = format!("static = {{ root = \"{root}\", hashed = \"1y\", max_age = \"1m\" }}");
    let text = format!(
        "[[route]]\npath = \"/open/<path:file>\"\n{files}\n\
         [[route]]\npath = \"/closed/<path:file>\"\n{files}\nbasic_auth = {{ users = [\"ann:{hash}\"] }}\n",
    );
    (Gateway::start(&text).await, folder)
}

async fn ask(gateway: &Gateway, target: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!(
        "GET {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"
    ))
    .await
}

#[tokio::test]
async fn what_needs_a_password_is_kept_for_nobody_else() {
    let (gateway, _folder) = site().await;
    let login = format!("Authorization: Basic {}\r\n", STANDARD.encode("ann:right"));
    for (file, expected) in [
        (HASHED, "private, max-age=31536000, immutable"),
        ("app.css", "private, max-age=60"),
    ] {
        let answer = ask(&gateway, &format!("/closed/{file}"), &login).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("cache-control"), Some(expected), "{file}");
    }
}

#[tokio::test]
async fn what_is_not_the_file_is_not_kept_in_its_place() {
    let (gateway, _folder) = site().await;
    for (lines, status) in [
        ("If-Match: \"x\"\r\n", 412),
        (
            "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            412,
        ),
        ("Range: bytes=999-\r\n", 416),
    ] {
        let target = format!("/open/{HASHED}");
        let answer = ask(&gateway, &target, lines).await;
        assert_eq!(answer.status, status, "{lines}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{lines}");
    }
}

#[tokio::test]
async fn nor_for_as_long_as_django_says_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("report.pdf"), "0123456789").unwrap();
    let backend = Backend::start(|_| {
        let lines = "X-Accel-Redirect: /private/report.pdf\r\nCache-Control: public, max-age=3600\r\n\
                     Expires: Thu, 01 Jan 2037 00:00:00 GMT\r\n";
        Reply::answer("200 OK", lines, "")
    })
    .await;
    let text = format!(
        "{}[[route]]\npath = \"/private/<path:file>\"\ninternal = true\nstatic = {{ root = \"{}\" }}\n{}",
        gateway::upstream(&backend.address, ""),
        folder.path().display(),
        gateway::PROXY,
    );
    let gateway = Gateway::start(&text).await;
    let whole = ask(&gateway, "/report/", "").await;
    let said = Some("public, max-age=3600");
    assert_eq!((whole.status, whole.header("cache-control")), (200, said));
    for (lines, status) in [("If-Match: \"x\"\r\n", 412), ("Range: bytes=999-\r\n", 416)] {
        let answer = ask(&gateway, "/report/", lines).await;
        assert_eq!(answer.status, status, "{lines}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{lines}");
        assert_eq!(answer.header("expires"), None, "{lines}");
    }
}
