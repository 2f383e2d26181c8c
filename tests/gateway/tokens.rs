//! Streams opened by a token: who gets in, to what, for how long; and that no log has ever seen one.

use std::process::{Command, Stdio};
use std::time::SystemTime;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tidegate::server::Address;

use crate::support::http2::Http2;
use crate::support::streaming::is_reset;
use crate::support::{Answer, Conn, EventSource, Gateway, Publisher, get, until, within};

const KEY: &str = "thirty-two bytes are not too many";

const ROUTES: &str = "\
    [[route]]\npath = \"/live/\"\nsse = { token = { kind = \"jwt\", alg = \"HS256\", key = \"thirty-two bytes are not too many\" } }\n\
    [[route]]\npath = \"/signed/\"\nsse = { token = { kind = \"django-signed\", key = \"thirty-two bytes are not too many\", max_age = \"1m\" } }\n\
    [[route]]\npath = \"/bearer/\"\nsse = { token = { kind = \"django-signed\", key = \"thirty-two bytes are not too many\", from = [\"bearer\"] } }\n\
    [[route]]\npath = \"/public/\"\nsse = { channels = [\"news\"], public = true }\n";

async fn site(sse: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!("[sse]\nretry = \"3s\"\n{sse}\n{ROUTES}")).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}

/// The time now, in seconds.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn sign(key: &[u8], message: &str) -> String {
    encode(hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, key),
        message.as_bytes(),
    ))
}

/// A JWT with these claims, and any `alg` in its header.
fn jwt_of(alg: &str, claims: &Value) -> String {
    let header = json!({"alg": alg, "typ": "JWT"}).to_string();
    let message = format!("{}.{}", encode(header), encode(claims.to_string()));
    format!("{message}.{}", sign(KEY.as_bytes(), &message))
}

/// A good JWT for these channels, for so many seconds.
fn jwt(channels: &[&str], seconds: u64) -> String {
    jwt_of(
        "HS256",
        &json!({"channels": channels, "exp": now() + seconds}),
    )
}

/// What `django.core.signing.dumps` makes, so many seconds ago.
fn signed(payload: &Value, salt: &str, ago: u64) -> String {
    let mut made = now() - ago;
    let mut digits = Vec::new();
    while made > 0 {
        let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        digits.insert(0, alphabet[usize::try_from(made % 62).unwrap()]);
        made /= 62;
    }
    let made = String::from_utf8(digits).unwrap();
    let value = format!("{}:{made}", encode(payload.to_string()));
    let key = digest::digest(&digest::SHA256, format!("{salt}signer{KEY}").as_bytes());
    format!("{value}:{}", sign(key.as_ref(), &value))
}

fn refused(answer: &Answer, challenge: &str) {
    assert_eq!(answer.status, 401, "{}", answer.head);
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let text = answer.text();
    assert!(
        text.starts_with("401 Unauthorized\nno stream was opened\n"),
        "{text}"
    );
}

const INVALID: &str = "Bearer error=\"invalid_token\"";

#[tokio::test]
async fn without_a_good_token_there_is_no_stream_and_no_word_why() {
    let (gateway, mut publisher) = site("").await;
    for target in [
        "/live/",
        "/live/?token=",
        "/live/?other=x",
        "/bearer/?token=x",
        "/signed/",
    ] {
        refused(&get(&gateway.public, target).await, "Bearer");
    }
    let news = json!({"channels": ["news"]});
    let good = jwt(&["news"], 60);
    let unsigned = jwt_of("none", &json!({"channels": ["news"], "exp": now() + 60}));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    for (target, token, cause) in [
        ("/live/", jwt(&["news"], 0), "expired"),
        ("/live/", jwt_of("HS384", &news), "algorithm"),
        ("/live/", unsigned, "algorithm"),
        ("/live/", format!("{good}="), "malformed"),
        ("/live/", format!("{good}A"), "signature"),
        ("/live/", signed(&news, "sse", 0), "malformed"),
        ("/live/", "x".repeat(9000), "too_long"),
        ("/live/", jwt_of("HS256", &news), "payload"),
        ("/live/", jwt(&[], 60), "payload"),
        ("/live/", jwt(&["a,b"], 60), "payload"),
        ("/signed/", signed(&news, "sse", 61), "expired"),
        ("/signed/", signed(&news, "other", 0), "signature"),
        ("/signed/", good, "malformed"),
        ("/signed/", signed(&json!({"user": 1}), "sse", 0), "payload"),
    ] {
        let metric = format!("tidegate_tokens_checked_total{{result=\"{cause}\"}}");
        let before = publisher.metric(&metric).await;
        refused(
            &get(&gateway.public, &format!("{target}?token={token}")).await,
            INVALID,
        );
        assert_eq!(publisher.metric(&metric).await, before + 1, "{cause}");
    }
    assert_eq!(
        publisher
            .metric("tidegate_tokens_checked_total{result=\"missing\"}")
            .await,
        5
    );
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn a_token_opens_a_stream_on_its_channels_and_no_others() {
    let (gateway, mut publisher) = site("").await;
    let payload = json!({"channels": ["user-42", "news"], "user": 42});
    let token = signed(&payload, "sse", 50);
    let by_query = format!("/signed/?room=1&token={token}");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut sources = [
        EventSource::open(&gateway.public, &by_query).await,
        EventSource::open_with(&gateway.public, "/signed/", &bearer).await,
        EventSource::open_with(&gateway.public, "/bearer/?token=x", &bearer).await,
        EventSource::open(
            &gateway.public,
            &format!("/live/?token={}", jwt(&["news"], 60)),
        )
        .await,
    ];
    let answer = publisher
        .publish(json!({"channel": "user-42", "data": "mine"}))
        .await;
    assert_eq!(answer["streams"], 3);
    let answer = publisher
        .publish(json!({"channel": "user-43", "data": "another's"}))
        .await;
    assert_eq!(answer["streams"], 0);
    publisher.text("news", "all").await;
    for source in &mut sources[..3] {
        assert_eq!(source.data(2).await, ["mine", "all"]);
    }
    assert_eq!(sources[3].next().await.data, "all");
    assert_eq!(
        publisher
            .metric("tidegate_tokens_checked_total{result=\"good\"}")
            .await,
        4
    );
}

#[tokio::test]
async fn only_get_and_head_present_a_token() {
    let (gateway, mut publisher) = site("").await;
    let mut conn = Conn::open(&gateway.public).await;
    let target = format!("/live/?token={}", jwt(&["news"], 60));
    for method in ["POST", "OPTIONS", "DELETE"] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = conn.ask(request).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    for (target, status) in [(target.as_str(), 200), ("/live/?token=x", 401)] {
        conn.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        assert_eq!(conn.answer_to("HEAD").await.status, status);
    }
    assert_eq!(publisher.streams().await, 0);
}

#[tokio::test]
async fn the_user_of_a_token_has_so_many_streams_over_all_routes() {
    let (gateway, _) = site("per_user = 2").await;
    let live = |claims: Value| {
        let mut claims = claims;
        claims["channels"] = json!(["news"]);
        claims["exp"] = json!(now() + 60);
        format!("/live/?token={}", jwt_of("HS256", &claims))
    };
    let payload = json!({"channels": ["news"], "user": 42});
    let _one = EventSource::open(&gateway.public, &live(json!({"sub": "42"}))).await;
    let by_django = format!("/signed/?token={}", signed(&payload, "sse", 0));
    let _two = EventSource::open(&gateway.public, &by_django).await;
    for target in [live(json!({"user": 42})), by_django] {
        assert_eq!(get(&gateway.public, &target).await.status, 429);
    }
    EventSource::open(&gateway.public, &live(json!({"user": 43, "sub": "42"}))).await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does_and_the_reconnect_gets_401() {
    let (gateway, mut publisher) = site("").await;
    let target = format!("/live/?token={}", jwt(&["news"], 2));
    let mut source = EventSource::open(&gateway.public, &target).await;
    publisher.text("news", "in time").await;
    assert_eq!(source.next().await.data, "in time");
    source.ends().await;
    refused(&get(&gateway.public, &target).await, INVALID);
    assert_eq!(
        publisher
            .metric("tidegate_streams_ended_total{reason=\"expired\"}")
            .await,
        1
    );
    // One that is made out of a token's last minute is no longer than that.
    let target = format!(
        "/signed/?token={}",
        signed(&json!({"channels": ["news"]}), "sse", 58)
    );
    EventSource::open(&gateway.public, &target)
        .await
        .ends()
        .await;
}

#[tokio::test]
async fn who_comes_back_resumes_within_the_channels_of_the_token() {
    let (gateway, mut publisher) = site("").await;
    let target = |channel| format!("/live/?token={}", jwt(&[channel], 60));
    let place = publisher.text("mine", "1").await;
    let secret = json!({"channel": "theirs", "data": "secret", "id": "their-id"});
    publisher.publish(secret).await;
    let their_place = publisher.text("theirs", "secret").await;
    publisher.text("mine", "2").await;
    let mut source = EventSource::resume(&gateway.public, &target("mine"), &place).await;
    assert_eq!(source.next().await.data, "2");
    // Any place of the log resumes, but only what the token names is given.
    let mut source = EventSource::resume(&gateway.public, &target("mine"), &their_place).await;
    assert_eq!(source.next().await.data, "2");
    // The id of another channel's event is unknown here, as if it had never been.
    let mut source = EventSource::resume(&gateway.public, &target("mine"), "their-id").await;
    is_reset(&mut source, "unknown-id").await;
    publisher.text("theirs", "secret").await;
    publisher.text("mine", "3").await;
    assert_eq!(source.next().await.data, "3");
    assert!(!source.text.contains("secret"));
}

#[tokio::test]
async fn keys_of_all_algorithms_open_streams() {
    let made: Value = serde_json::from_str(include_str!("../django/tokens.json")).unwrap();
    for alg in ["RS256", "ES256", "EdDSA"] {
        let of = &made["jwt"][alg];
        let (key, token) = (of["key"].as_str().unwrap(), of["token"].as_str().unwrap());
        let gateway = Gateway::start(&format!(
            "[[route]]\npath = \"/live/\"\nsse = {{ token = {{ kind = \"jwt\", alg = \"{alg}\", key = \"\"\"{key}\"\"\" }} }}\n"
        ))
        .await;
        let mut source = EventSource::open(&gateway.public, &format!("/live/?token={token}")).await;
        let mut publisher = gateway.publisher().await;
        publisher.text("user-42", alg).await;
        assert_eq!(source.next().await.data, alg);
        let forged = jwt(&["news"], 60);
        refused(
            &get(&gateway.public, &format!("/live/?token={forged}")).await,
            INVALID,
        );
    }
}

/// Requests with tokens, good and bad, in all the ways there are.
async fn present(address: &Address, tokens: &[String]) {
    let mut http2 = Http2::open(address).await;
    for token in tokens {
        for (target, lines) in [
            (format!("/live/?token={token}"), String::new()),
            (
                "/live/".to_owned(),
                format!("Authorization: Bearer {token}\r\n"),
            ),
            (
                "/elsewhere/".to_owned(),
                format!("Referer: http://a/?token={token}\r\n"),
            ),
        ] {
            let mut conn = Conn::open(address).await;
            let head = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            conn.send(head).await;
            conn.answer_to("HEAD").await;
            let request = http::Request::head(format!("http://a{target}"));
            let request = match lines.trim_end().split_once(": ") {
                Some((name, value)) => request.header(name, value),
                None => request,
            };
            let request = request.body(Full::<Bytes>::default()).unwrap();
            http2.send(request).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_log_has_a_token_or_a_payload_but_the_sites_mistakes_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let config = format!(
        "version = 1\n[listen.http]\naddress = \"unix:{}\"\n{ROUTES}\
         [log]\nlevel = \"trace\"\naccess = {{ to = \"{}\", format = \"json\" }}\n",
        file("http.sock").display(),
        file("access.log").display(),
    );
    std::fs::write(file("gateway.toml"), config).unwrap();
    let log = std::fs::File::create(file("stderr")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "-c"])
        .arg(file("gateway.toml"))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    until("the program", async || {
        std::os::unix::net::UnixStream::connect(file("http.sock")).is_ok()
    })
    .await;
    let end = now() + 60;
    let tokens = [
        jwt(&["hidden-channel"], 60),
        jwt(&["hidden-channel"], 0),
        jwt_of(
            "HS512",
            &json!({"channels": ["hidden-channel"], "exp": end}),
        ),
        jwt_of(
            "HS256",
            &json!({"channels": ["hidden channel"], "exp": end, "user": "hidden-user"}),
        ),
        jwt_of("HS256", &json!({"channels": "hidden-channel", "exp": end})),
        signed(&json!({"channels": ["hidden-channel"]}), "sse", 0),
        "%hidden%2E".to_owned(),
    ];
    present(&Address::Unix(file("http.sock")), &tokens).await;
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let ended = within("the end of the program", ended).await;
    assert!(ended.unwrap().unwrap().success());
    let access = std::fs::read_to_string(file("access.log")).unwrap();
    assert_eq!(access.lines().count(), tokens.len() * 6, "{access}");
    let said = std::fs::read_to_string(file("stderr")).unwrap();
    assert!(said.contains("TRACE"), "the log says all it has");
    for text in [&access, &said] {
        assert!(!text.contains("hidden"));
        for part in tokens.iter().flat_map(|token| token.split(['.', ':'])) {
            assert!(part.len() < 8 || !text.contains(part), "{part}");
        }
    }
    for told in [
        "Token cannot be read path=\"/live/\"",
        "`channels` names no valid channel",
        "`channels` is no list of channel names",
        "hint=\"the payload is an object with `channels`",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let warnings = said.matches("Token cannot be read").count();
    assert_eq!(
        warnings, 8,
        "only what the site has signed is a mistake of the site"
    );
    assert!(said.contains("the token has expired"));
}
