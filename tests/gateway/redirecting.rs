//! Requests that are sent elsewhere: by a route, and from http to https.

use crate::support::tls::Certificate;
use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway, get};

async fn ask(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    let head =
        format!("{line} HTTP/1.1\r\nHost: site.test:8080\r\nConnection: close\r\n{lines}\r\n");
    conn.ask(head).await
}

/// Status and `Location`.
fn way(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("location"))
}

#[tokio::test]
async fn a_route_leads_elsewhere_and_keeps_the_query() {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let routes = "[[route]]\npath = \"/old/<path:rest>\"\nredirect = \"/new/{rest}\"\n\
         [[route]]\npath = \"/u/<slug:name>\"\nredirect = { to = \"https://users.test/?name={name}\", status = 302 }\n\
         [[route]]\npath = \"/all/<path:rest>\"\nredirect = { to = \"/{rest}\", status = 303 }\n";
    let text = format!(
        "{}{routes}{}",
        gateway::upstream(&backend.address, ""),
        gateway::PROXY
    );
    let gateway = Gateway::start(&text).await;
    for (target, status, location) in [
        ("/old/a/b", 308, "/new/a/b"),
        ("/old/?x=1&y=%20", 308, "/new/?x=1&y=%20"),
        ("/old/%C3%A4%20%25?", 308, "/new/%C3%A4%20%25?"),
        ("/u/ann?name=bob", 302, "https://users.test/?name=ann"),
        ("/all/x", 303, "/x"),
        // Neither another host nor a way up comes out of a path.
        ("/all//evil.test/", 303, "/evil.test/"),
        ("/all/https://evil.test/", 303, "/https%3A//evil.test/"),
    ] {
        let answer = ask(&gateway, &format!("GET {target}"), "").await;
        assert_eq!(way(&answer), (status, Some(location)), "{target}");
        assert!(answer.body.is_empty());
    }
    // No line of a head comes out of a path, however it is written.
    for target in ["/old/%0d%0aX: y", "/old/%0D%0AX:%20y", "/all/%5cevil.test"] {
        let answer = ask(&gateway, &format!("GET {target}"), "").await;
        assert!(answer.header("x").is_none(), "{}", answer.head);
        let location = answer.header("location");
        assert!(location.is_none_or(|to| !to.contains('\\')), "{location:?}");
    }
    let posted = ask(&gateway, "POST /old/form", "Content-Length: 0\r\n").await;
    assert_eq!(way(&posted), (308, Some("/new/form")));
    assert_eq!(backend.count(), 0, "Django hears nothing of it");
}

#[tokio::test]
async fn a_listener_sends_everything_to_https() {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let text = format!(
        "[server]\nhosts = [\"site.test\"]\n{}",
        gateway::everything_to(&backend.address, "")
    );
    let gateway = Gateway::start_with("redirect_to_https = true", &text).await;
    for (line, location) in [
        ("GET /", "https://site.test/"),
        ("GET /a%20b?x=1", "https://site.test/a%20b?x=1"),
        ("GET //evil.test/", "https://site.test//evil.test/"),
        ("OPTIONS /x", "https://site.test/x"),
    ] {
        let answer = ask(&gateway, line, "").await;
        assert_eq!(way(&answer), (308, Some(location)), "{line}");
    }
    let streams = ask(&gateway, "GET /", "Accept: text/event-stream\r\n").await;
    assert_eq!(way(&streams), (308, Some("https://site.test/")));
    // Not to a host that is not served here.
    let mut conn = Conn::open(&gateway.public).await;
    let stranger = conn.ask("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").await;
    assert_eq!(way(&stranger), (421, None));
    assert_eq!(backend.count(), 0);
    // Whoever makes certificates comes by http.
    let challenge = ask(&gateway, "GET /.well-known/acme-challenge/x", "").await;
    assert_eq!((challenge.status, challenge.text()), (200, "page"));
    let near = ask(&gateway, "GET /.well-known/acme-challenges", "").await;
    assert_eq!(near.status, 308);
    // Another listener is none of it.
    assert_eq!(get(&gateway.public_unix, "/").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_that_ends_tls_is_not_sent_in_circles() {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let everything = gateway::everything_to(&backend.address, "");
    for (trust, status) in [("[\"127.0.0.1\"]", 200), ("[]", 308)] {
        let text = format!("[trust]\nproxies = {trust}\n{everything}");
        let gateway = Gateway::start_with("redirect_to_https = true", &text).await;
        let answer = ask(&gateway, "GET /", "X-Forwarded-Proto: https\r\n").await;
        assert_eq!(answer.status, status, "{trust}");
    }
}

#[tokio::test]
async fn https_is_where_the_file_says() {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let certificate = Certificate::new();
    let text = format!(
        "{}[listen.https]\naddress = \"127.0.0.1:0\"\ntls = \"main\"\n{}",
        certificate.table(),
        gateway::everything_to(&backend.address, "")
    );
    for (keys, location) in [
        // A port that the system chooses is known to nobody.
        ("", "https://site.test/"),
        ("redirect_port = 8443", "https://site.test:8443/"),
        ("redirect_port = 443", "https://site.test/"),
    ] {
        let listen = format!("redirect_to_https = true\n{keys}");
        let gateway = Gateway::start_with(&listen, &text).await;
        let answer = ask(&gateway, "GET /", "").await;
        assert_eq!(way(&answer), (308, Some(location)), "{keys}");
    }
}
