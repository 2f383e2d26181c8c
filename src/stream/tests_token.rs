//! Streams opened by a token, in simulated time.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use tokio::time::advance;

use super::tests::{CLIENT, event, said, streams};
use super::*;
use crate::ask::{self, Carrier, TokenCheck, TokenSettings};
use crate::base::metrics::Registry;
use crate::history;
use crate::wire::signed::{Algorithm, Jwt, Verifier};

const SECRET: &str = "thirty-two bytes are not too many";

/// A token for the channel `a` that ends in an hour.
fn token() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let end = now.unwrap().as_secs() + 3600;
    let claims = serde_json::json!({"channels": ["a"], "user": 7, "exp": end});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn opening(token: &str) -> Opening {
    let jwt = Jwt::new(Algorithm::Hs256, SECRET, None, None).unwrap();
    let settings = TokenSettings {
        verifier: Verifier::Jwt(jwt),
        from: vec![Carrier::Query("token".to_owned())],
    };
    let check = TokenCheck::new(settings, &ask::Metrics::new(&Registry::default()));
    let presented = check.find(&HeaderMap::new(), Some(&format!("token={token}")));
    Opening {
        session: None,
        head_only: false,
        client: CLIENT,
        last: None,
        wants_stream: true,
        source: Source::Token {
            presented,
            path: "/live/".to_owned(),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_delivers_nothing_after() {
    let streams = streams(history::Settings::default());
    // To ask again says nothing here: nobody is asked.
    let settings = Arc::new(Settings {
        recheck: Some(Duration::from_secs(1)),
        ..Settings::default()
    });
    let answer = streams.open(&settings, opening(&token())).await.unwrap();
    let Body::Held(mut held, _) = answer.into_body() else {
        panic!("a stream");
    };
    assert!(!said(&mut held).1);
    advance(Duration::from_secs(3500)).await;
    streams.publish(event("in time"));
    let (text, ended) = said(&mut held);
    assert!(text.contains("data: in time\n\n") && !ended, "{text}");
    advance(Duration::from_secs(101)).await;
    streams.publish(event("too late"));
    let (text, ended) = said(&mut held);
    assert!(ended && !text.contains("too late"), "{text}");
}

#[tokio::test]
async fn a_full_gateway_verifies_no_token() {
    let streams = streams(history::Settings::default());
    let settings = Arc::new(Settings::default());
    let open = async |token: &str| streams.open(&settings, opening(token)).await;
    let first = open(&token()).await.unwrap();
    assert!(matches!(open("bad").await, Err(OpenError::Unauthorized(_))));
    let _second = open(&token()).await.unwrap();
    // The cheapest refusal comes first.
    assert!(matches!(
        open("bad").await,
        Err(OpenError::Limited(Limit::Slots))
    ));
    drop(first);
    open(&token()).await.unwrap();
}
