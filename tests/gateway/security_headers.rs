//! Headers that every answer has, unless whoever made it has said otherwise.

use rustls::version::TLS13;

use crate::support::tls::{Certificate, connect};
use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway};

const HEADERS: &str = "[headers]\n\
     set = { X-Content-Type-Options = \"nosniff\", Referrer-Policy = \"same-origin\" }\n\
     hsts = \"1y\"\nhsts_subdomains = true\n";
const HSTS: Option<&str> = Some("max-age=31536000; includeSubDomains");

async fn site(listen: &str, more: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|request| match request.target() {
        "/own/" => Reply::answer(
            "200 OK",
            "referrer-policy: no-referrer\r\nStrict-Transport-Security: max-age=1\r\n",
            "",
        ),
        _ => Reply::ok("page"),
    })
    .await;
    let text = format!(
        "{HEADERS}{more}{}\
         [[route]]\npath = \"/live/\"\nsse = {{ channels = [\"news\"], public = true }}\n\
         [[route]]\npath = \"/old/\"\nredirect = \"/\"\n\
         [[route]]\npath = \"/fixed/\"\nrespond = {{ headers = {{ Referrer-Policy = \"origin\" }} }}\n\
         [[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\nlimits = {{ body = \"1KiB\" }}\n",
        gateway::upstream(&backend.address, ""),
    );
    (Gateway::start_with(listen, &text).await, backend)
}

fn said(answer: &Answer) -> [Option<&str>; 3] {
    [
        "x-content-type-options",
        "referrer-policy",
        "strict-transport-security",
    ]
    .map(|name| answer.header(name))
}

async fn ask(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!("{line} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"))
        .await
}

#[tokio::test]
async fn every_answer_has_them_whoever_made_it() {
    let (gateway, _backend) = site("", "").await;
    let both = [Some("nosniff"), Some("same-origin"), None];
    for (line, lines, status) in [
        ("GET /", "", 200),
        ("GET /old/", "", 308),
        ("DELETE /live/", "", 405),
        ("POST /", "Content-Length: 2000\r\n", 413),
        ("TRACE /", "", 405),
    ] {
        let answer = ask(&gateway, line, lines).await;
        assert_eq!((answer.status, said(&answer)), (status, both), "{line}");
    }
    let stream = EventSource::open(&gateway.public, "/live/").await;
    assert_eq!(said(&stream.head), both);
}

#[tokio::test]
async fn what_an_answer_says_itself_is_kept() {
    let (gateway, _backend) = site("", "").await;
    let own = ask(&gateway, "GET /own/", "").await;
    let kept = [Some("nosniff"), Some("no-referrer"), Some("max-age=1")];
    assert_eq!(said(&own), kept);
    let fixed = ask(&gateway, "GET /fixed/", "").await;
    assert_eq!(said(&fixed), [Some("nosniff"), Some("origin"), None]);
}

#[tokio::test]
async fn hsts_is_said_over_https_only() {
    let certificate = Certificate::new();
    let (gateway, _backend) = site("tls = \"main\"", &certificate.table()).await;
    let client = certificate.client(&TLS13, &["http/1.1"]);
    let over = async || Conn::over(connect(&gateway.public, &client).await);
    let get = |target| format!("GET {target} HTTP/1.1\r\nHost: site.test\r\n\r\n");
    for target in ["/", "/old/", "/fixed/"] {
        let answer = over().await.ask(get(target)).await;
        assert_eq!(said(&answer)[2], HSTS, "{target}");
    }
    let own = over().await.ask(get("/own/")).await;
    assert_eq!(said(&own)[2], Some("max-age=1"));
    let stream = EventSource::try_over(over().await, "/live/", "").await;
    assert_eq!(said(&stream.ok().unwrap().head)[2], HSTS);
    let mut plain = Conn::open(&gateway.public_unix).await;
    assert_eq!(said(&plain.ask(get("/")).await)[2], None);
}

#[tokio::test]
async fn only_a_trusted_proxy_says_that_it_was_https() {
    for (trust, expected) in [("[\"127.0.0.1\"]", HSTS), ("[]", None)] {
        let (gateway, _backend) = site("", &format!("[trust]\nproxies = {trust}\n")).await;
        let answer = ask(&gateway, "GET /", "X-Forwarded-Proto: https\r\n").await;
        assert_eq!(said(&answer)[2], expected, "{trust}");
    }
}
