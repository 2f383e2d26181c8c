//! `X-Accel-Redirect`: an answer of Django that leads to a file nobody can ask for.

use std::fs;

use tempfile::TempDir;

use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway, get};

/// A gateway with a private folder, one that is open to all, and a backend that says of each target what its query is.
async fn site(more: &str) -> (Gateway, Backend, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["private", "open"] {
        let root = folder.path().join(name);
        fs::create_dir_all(root.join("a b")).unwrap();
        fs::write(root.join("report.pdf"), "0123456789").unwrap();
        fs::write(root.join("a b/ä%.txt"), "named").unwrap();
    }
    let backend = Backend::start(|request| {
        let (_, to) = request.target().split_once('?').unwrap_or_default();
        let lines = format!("X-Accel-Redirect: {to}\r\n");
        match request.target().split('?').next().unwrap() {
            "/bare" => Reply::answer("200 OK", &lines, "this is not sent"),
            "/created" => Reply::answer("201 Created", &lines, ""),
            "/refused" => Reply::answer("403 Forbidden", &lines, "no"),
            "/none" => Reply::answer("200 OK", "X-Accel-Expires: 5\r\nX-Accel-Buffering: no\r\n", "page"),
            _ => Reply::answer(
                "200 OK",
                &format!(
                    "{lines}Content-Type: application/x-report\r\nContent-Disposition: attachment; filename=\"r.pdf\"\r\n\
                     Cache-Control: private, max-age=5\r\nExpires: Thu, 01 Jan 2037 00:00:00 GMT\r\n\
                     Set-Cookie: seen=1\r\nSet-Cookie: twice=2\r\nVary: Cookie\r\nETag: \"page\"\r\n\
                     Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Encoding: x\r\n\
                     X-Accel-Charset: utf-8\r\nX-Accel-Limit-Rate: 5\r\n"
                ),
                "this is not sent",
            ),
        }
    })
    .await;
    let root = folder.path().display().to_string();
    let text = format!(
        "{}[[route]]\npath = \"/private/<path:file>\"\ninternal = true\nstatic = {{ root = \"{root}/private\"{more} }}\n\
         [[route]]\npath = \"/open/<path:file>\"\nstatic = {{ root = \"{root}/open\" }}\n{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY,
    );
    (Gateway::start(&text).await, backend, folder)
}

async fn ask(gateway: &Gateway, request: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    let method = request.split(' ').next().unwrap();
    conn.send(format!("{request} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
        .await;
    conn.answer_to(method).await
}

#[tokio::test]
async fn django_says_who_may_see_a_file_and_what_it_is() {
    let (gateway, backend, _folder) = site("").await;
    let answer = get(&gateway.public, "/file?/private/report.pdf").await;
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    for (name, value) in [
        ("content-type", "application/x-report"),
        ("content-disposition", "attachment; filename=\"r.pdf\""),
        ("cache-control", "private, max-age=5"),
        ("expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ("vary", "Cookie"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(
        answer.all("set-cookie").collect::<Vec<_>>(),
        ["seen=1", "twice=2"]
    );
    assert!(
        !answer.head.to_lowercase().contains("x-accel"),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("content-encoding"), None);
    assert_ne!(answer.header("etag"), Some("\"page\""));
    assert_eq!(backend.count(), 1);

    let bare = get(&gateway.public, "/bare?/private/report.pdf").await;
    assert_eq!(
        (bare.header("content-type"), bare.header("cache-control")),
        (Some("application/pdf"), Some("private, no-cache"))
    );
    // The body that is not sent leaves the connection to Django fine.
    assert_eq!(get(&gateway.public, "/none").await.text(), "page");
}

#[tokio::test]
async fn parts_and_conditions_are_those_of_the_file() {
    let (gateway, _backend, _folder) = site("").await;
    let target = "GET /file?/private/report.pdf";
    let first = ask(&gateway, target, "").await;
    let etag = first.header("etag").unwrap();
    let part = ask(&gateway, target, "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.text()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let known = ask(&gateway, target, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((known.status, known.text()), (304, ""));
    assert_eq!(known.all("set-cookie").count(), 2);
    let head = ask(&gateway, "HEAD /file?/private/report.pdf", "").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    // To a POST the file is the answer, whatever the client has of it.
    let lines = format!("Content-Length: 0\r\nIf-None-Match: {etag}\r\nRange: bytes=2-4\r\n");
    let posted = ask(&gateway, "POST /created?/private/report.pdf", &lines).await;
    assert_eq!((posted.status, posted.text()), (200, "0123456789"));
}

#[tokio::test]
async fn a_name_is_decoded_once() {
    let (gateway, _backend, _folder) = site("").await;
    for to in [
        "/private/a%20b/%C3%A4%25.txt",
        "/private/a b/%C3%A4%25.txt?ignored=1",
    ] {
        let target = format!("/bare?{}", to.replace(' ', "%20"));
        assert_eq!(get(&gateway.public, &target).await.text(), "named", "{to}");
    }
}

#[tokio::test]
async fn a_client_finds_no_internal_route() {
    let (gateway, backend, _folder) = site("").await;
    for target in [
        "/private/report.pdf",
        "/private/",
        "/%70rivate/report.pdf",
        "/private/../private/report.pdf",
    ] {
        let answer = get(&gateway.public, target).await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{target}: {}",
            answer.head
        );
        assert!(!answer.text().contains("0123456789"));
    }
    // Not by a header of its own either: Django is not sent it.
    let lines = "X-Accel-Redirect: /private/report.pdf\r\n";
    let forged = ask(&gateway, "GET /none", lines).await;
    assert_eq!(forged.text(), "page");
    assert_eq!(backend.request(0).await.header("x-accel-redirect"), None);
    // That Django does not follow it counts for nothing.
    assert_eq!(forged.header("x-accel-expires"), None);
    assert_eq!(forged.header("x-accel-buffering"), Some("no"));
}

#[tokio::test]
async fn what_leads_nowhere_is_an_error_and_tells_nothing() {
    let (gateway, _backend, folder) = site("").await;
    std::os::unix::fs::symlink("../open/report.pdf", folder.path().join("private/out.pdf"))
        .unwrap();
    for (to, status) in [
        ("/private/missing.pdf", 404),
        ("/private/", 404),
        ("/private/out.pdf", 404),
        ("/private/.hidden", 404),
        ("/private/../open/report.pdf", 404),
        ("/private/%2e%2e/open/report.pdf", 404),
        ("", 404),
        ("private/report.pdf", 404),
        ("http://a/private/report.pdf", 404),
        ("/open/report.pdf", 500),
        ("/page", 500),
    ] {
        let answer = get(&gateway.public, &format!("/file?{to}")).await;
        assert_eq!(answer.status, status, "{to}: {}", answer.head);
        assert!(!answer.text().contains("private"), "{to}");
        assert_eq!(answer.all("set-cookie").count(), 0, "{to}");
    }
    let refused = get(&gateway.public, "/refused?/private/report.pdf").await;
    assert_eq!((refused.status, refused.text()), (403, "no"));
    assert_eq!(refused.header("x-accel-redirect"), None);
}

#[tokio::test]
async fn a_type_that_may_not_be_shown_is_a_download_unless_django_says_how() {
    let (gateway, _backend, _folder) = site(", inline = [\"image/*\"]").await;
    let bare = get(&gateway.public, "/bare?/private/report.pdf").await;
    assert_eq!(bare.header("content-disposition"), Some("attachment"));
    let said = get(&gateway.public, "/file?/private/report.pdf").await;
    assert_eq!(
        said.header("content-disposition"),
        Some("attachment; filename=\"r.pdf\"")
    );
}

#[tokio::test]
async fn without_an_internal_route_only_a_trusted_proxy_in_front_is_told() {
    let backend =
        Backend::start(|_| Reply::answer("200 OK", "X-Accel-Redirect: /private/x\r\n", "")).await;
    let text = gateway::everything_to(&backend.address, "");
    let gateway = Gateway::start(&text).await;
    let refused = get(&gateway.public, "/").await;
    assert_eq!(
        (refused.status, refused.header("x-accel-redirect")),
        (500, None)
    );
    let trusting = format!("[trust]\nproxies = [\"127.0.0.1\"]\n{text}");
    let gateway = Gateway::start(&trusting).await;
    let passed = get(&gateway.public, "/").await;
    assert_eq!(
        (passed.status, passed.header("x-accel-redirect")),
        (200, Some("/private/x"))
    );
}
