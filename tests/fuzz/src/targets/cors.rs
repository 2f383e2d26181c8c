//! Cross-origin rules: an origin is read as a browser writes it, and only that one may read an answer.
//!
//! The input is an origin of the file, the `Origin` of a request, and what Django said before, with 0xFF between them.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Request};
use tidegate::wire::cors::{InvalidOrigin, Origin, Rules};

use crate::parts::{headers, texts};

pub fn check(data: &[u8]) -> Option<()> {
    let [listed, asked, before] = texts(data)?;
    let origins = match Origin::parse(listed) {
        Ok(origin) => {
            assert_eq!(origin.as_str(), listed);
            assert!(HeaderValue::from_str(listed).is_ok());
            vec![origin]
        }
        Err(InvalidOrigin::Spelling(right)) => {
            assert_ne!(right, listed);
            Vec::from([Origin::parse(&right).expect("the proposed spelling is good")])
        }
        Err(InvalidOrigin::Form | InvalidOrigin::Null) => Vec::new(),
    };
    let asked = HeaderValue::from_str(asked).ok()?;
    let before = headers(before.as_bytes())?;
    for method in ["GET", "OPTIONS"] {
        let request = Request::builder()
            .method(method)
            .header(ORIGIN, asked.clone())
            .header(ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .body(())
            .ok()?;
        let (parts, ()) = request.into_parts();
        for credentials in [false, true] {
            let rules = Rules::Listed {
                origins: origins.clone(),
                credentials,
            };
            let mut answer = before.clone();
            rules.answer(&parts, "GET").write(&mut answer);
            let known = origins
                .iter()
                .any(|origin| origin.as_str().as_bytes() == asked.as_bytes());
            assert_eq!(
                only(&answer, &ACCESS_CONTROL_ALLOW_ORIGIN),
                known.then_some(&asked)
            );
            assert_eq!(
                only(&answer, &ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some(),
                known && credentials
            );
            assert!(answer.contains_key(VARY));
        }
        let mut answer = before.clone();
        Rules::Any.answer(&parts, "GET").write(&mut answer);
        assert_eq!(
            only(&answer, &ACCESS_CONTROL_ALLOW_ORIGIN),
            Some(&HeaderValue::from_static("*"))
        );
        assert_eq!(only(&answer, &ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    }
    Some(())
}

/// The value, which is there at most once, whatever Django said.
fn only<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    assert!(values.next().is_none(), "{name} twice");
    first
}
