//! Routes that only some people may see.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Answer, Backend, Conn, EventSource, Gateway, Reply, gateway, until};

async fn site(more: &str) -> (Gateway, Backend) {
    let backend = Backend::start(|_| Reply::ok("page")).await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("htpasswd");
    // Cheap hashes: what is tested is who comes in.
    let hash = |password| bcrypt::hash(password, 4).unwrap();
    let listed = format!("# people\n\nbob:{}\n", hash("b:ob"));
    std::fs::write(&file, listed).unwrap();
    let auth = format!(
        "basic_auth = {{ realm = \"the \\\"staging\\\" site\", users = [\"ann:{}\"], file = \"{}\"{more} }}\n",
        hash("änn"),
        file.display(),
    );
    let text = format!(
        "{}\
         [[route]]\npath = \"/live/\"\nsse = {{ channels = [\"news\"], public = true }}\n{auth}\
         [[route]]\npath = \"/fixed/\"\nrespond = {{ body = \"fixed\" }}\n{auth}\
         [[route]]\npath = \"/open/\"\nproxy = \"django\"\n\
         [[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n{auth}",
        gateway::upstream(&backend.address, ""),
    );
    (Gateway::start(&text).await, backend)
}

fn login(name: &str, password: &str) -> String {
    let encoded = STANDARD.encode(format!("{name}:{password}"));
    format!("Authorization: Basic {encoded}\r\n")
}

async fn ask(gateway: &Gateway, target: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!(
        "GET {target} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"
    ))
    .await
}

async fn failures(gateway: &Gateway, reason: &str) -> u64 {
    let name = format!("tidegate_basic_auth_failures_total{{reason=\"{reason}\"}}");
    gateway.publisher().await.metric(&name).await
}

#[tokio::test]
async fn who_has_no_login_is_asked_for_one() {
    let (gateway, backend) = site("").await;
    for target in ["/", "/live/", "/fixed/"] {
        let answer = ask(&gateway, target, "").await;
        assert_eq!(answer.status, 401, "{target}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Basic realm=\"the \\\"staging\\\" site\", charset=\"UTF-8\"")
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(backend.count(), 0);
    assert_eq!(ask(&gateway, "/open/", "").await.status, 200);
}

#[tokio::test]
async fn a_right_login_opens_every_kind_of_route_and_stays_here() {
    let (gateway, backend) = site("").await;
    for lines in [login("ann", "änn"), login("bob", "b:ob")] {
        assert_eq!(ask(&gateway, "/", &lines).await.text(), "page");
        assert_eq!(ask(&gateway, "/fixed/", &lines).await.text(), "fixed");
        EventSource::open_with(&gateway.public, "/live/", &lines).await;
    }
    assert_eq!(backend.request(0).await.header("authorization"), None);
    // Where there are no users it is Django's business.
    let bearer = "Authorization: Bearer x\r\n";
    assert_eq!(ask(&gateway, "/open/", bearer).await.status, 200);
    let seen = backend.request(2).await;
    assert_eq!(seen.header("authorization"), Some("Bearer x"));
}

#[tokio::test]
async fn django_may_see_the_login() {
    let (gateway, backend) = site(", pass_on = true").await;
    let lines = login("ann", "änn");
    assert_eq!(ask(&gateway, "/", &lines).await.status, 200);
    let seen = backend.request(0).await;
    let expected = lines.trim_end().split_once(": ").unwrap().1;
    assert_eq!(seen.header("authorization"), Some(expected));
}

#[tokio::test]
async fn what_is_no_right_login_is_refused_and_counted() {
    let (gateway, backend) = site("").await;
    for (name, password) in [("ann", "ann"), ("ann", "b:ob"), ("eve", "änn"), ("", "")] {
        let answer = ask(&gateway, "/", &login(name, password)).await;
        assert_eq!(answer.status, 401, "{name}");
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(failures(&gateway, "wrong").await, 4);
    let twice = login("ann", "änn").repeat(2);
    for lines in [
        "Authorization: Bearer x\r\n",
        "Authorization: Basic !\r\n",
        &twice,
    ] {
        assert_eq!(ask(&gateway, "/", lines).await.status, 401, "{lines}");
    }
    assert_eq!(failures(&gateway, "unreadable").await, 3);
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_who_is_known_does_not() {
    let (gateway, _backend) = site("").await;
    let right = login("ann", "änn");
    assert_eq!(ask(&gateway, "/", &right).await.status, 200);
    for guess in 0..10 {
        let lines = login("ann", &guess.to_string());
        assert_eq!(ask(&gateway, "/", &lines).await.status, 401);
    }
    // On a slow machine one more guess may have become free meanwhile.
    let mut refused = ask(&gateway, "/", &login("ann", "10")).await;
    for _ in 0..10 {
        if refused.status == 429 {
            break;
        }
        refused = ask(&gateway, "/", &login("ann", "11")).await;
    }
    assert_eq!(refused.status, 429);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&after), "{after}");
    assert!(failures(&gateway, "limited").await >= 1);
    // From the same address, but known.
    assert_eq!(ask(&gateway, "/", &right).await.status, 200);
    // Another route has a rate of its own.
    assert_eq!(ask(&gateway, "/fixed/", &right).await.status, 200);
}

#[tokio::test]
async fn many_at_once_with_one_right_login_all_come_in() {
    let (gateway, _backend) = site("").await;
    let lines = login("bob", "b:ob");
    let mut conns = Vec::new();
    for _ in 0..30 {
        let mut conn = Conn::open(&gateway.public).await;
        conn.send(format!("GET / HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"))
            .await;
        conns.push(conn);
    }
    for mut conn in conns {
        assert_eq!(conn.answer().await.status, 200);
    }
    until("nothing was refused", async || {
        failures(&gateway, "busy").await == 0
    })
    .await;
}
