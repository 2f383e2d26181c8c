//! `token` of a route's `sse`.

use serde_json::Value;

use super::*;
use crate::wire::signed::Verifier;

/// The public key for an algorithm, as the tests of the tokens have it.
pub(super) fn public_key(algorithm: &str) -> String {
    let made = include_str!("../../../tests/django/tokens.json");
    let made: Value = serde_json::from_str(made).unwrap();
    made["jwt"][algorithm]["key"].as_str().unwrap().to_owned()
}

/// What was shown, with a key in the place of each that is masked.
pub(super) fn unmasked(shown: &str) -> String {
    // Unlike others this secret has a form that a mask does not have.
    let secret = format!("webhook = \"whsec_{}\"", "A".repeat(32));
    let shown = shown.replace("webhook = \"***\"", &secret);
    let user = format!(":{}\"", edge::BCRYPT.replace('$', "$$"));
    let shown = shown.replace(":***\"", &user);
    shown.replace("key = \"***\"", "key = \"${KEY}\"")
}

/// `SHORT` with a token in the place of its proxy.
fn with(token: &str) -> String {
    let sse = format!("sse = {{ token = {{ {token} }} }}");
    SHORT.replace("proxy = \"django\"", &sse)
}

fn settings(token: &str) -> ask::TokenSettings {
    let config = good(&with(token));
    match &config.routes.entries()[0].target.kind {
        RouteKind::Token { token, .. } => token.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_needs_its_kind_and_its_key() {
    let found = settings("kind = \"django-signed\", key = \"k\"");
    let Verifier::Django(django) = found.verifier else {
        panic!("{:?}", found.verifier);
    };
    assert_eq!(django.salt(), "sse");
    assert_eq!(django.max_age(), Duration::from_secs(3600));
    let from: Vec<_> = found.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["query:token", "bearer"]);
    let found = settings(
        "kind = \"jwt\", alg = \"HS256\", key = \"${KEY}\", from = [\"query:a.b\", \"query:c\"]",
    );
    let Verifier::Jwt(jwt) = found.verifier else {
        panic!("{:?}", found.verifier);
    };
    assert_eq!((jwt.audience(), jwt.issuer()), (None, None));
    let from: Vec<_> = found.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["query:a.b", "query:c"]);
}

#[test]
fn a_key_that_is_shown_is_public_and_reads_back() {
    for algorithm in ["RS256", "EdDSA", "ES256"] {
        // As PEM is written in TOML by hand.
        let key = format!("\"\"\"\n{}\"\"\"", public_key(algorithm));
        let config = good(&with(&format!(
            "kind = \"jwt\", alg = \"{algorithm}\", key = {key}"
        )));
        let shown = show(&config);
        assert!(shown.contains("BEGIN PUBLIC KEY"));
        assert_eq!(show(&good(&shown)), shown);
    }
    let config = good(&with("kind = \"jwt\", alg = \"HS256\", key = \"${KEY}\""));
    assert!(show(&config).contains("token = { kind = \"jwt\", alg = \"HS256\", key = \"***\", from = [\"query:token\", \"bearer\"] } }"));
    assert!(!format!("{config:?}").contains(KEY));
}

/// The token of a route, and the whole line that must be told.
const MISTAKES: &[(&str, &str)] = &[
    (
        "key = \"k\"",
        "8:17: route[0].sse.token.kind: \"kind\" is missing",
    ),
    (
        "kind = \"django\", key = \"k\", salt = \"s\", alg = \"a\"",
        "8:26: route[0].sse.token.kind: \"django\" is not known here (there are: django-signed, jwt)",
    ),
    (
        "kind = \"django-signed\"",
        "8:17: route[0].sse.token.key: \"key\" is missing",
    ),
    (
        "kind = \"django-signed\", key = \"${EMPTY}\"",
        "8:49: route[0].sse.token.key: a key must not be empty",
    ),
    (
        "kind = \"django-signed\", key = \"***\"",
        "8:49: route[0].sse.token.key: this is no key (`tidegate show` masks it: write the key itself)",
    ),
    (
        "kind = \"django-signed\", key = \"k\", salt = \"\"",
        "8:61: route[0].sse.token.salt: a salt must not be empty (the one that is given to dumps(…, salt=…))",
    ),
    (
        "kind = \"django-signed\", key = \"k\", max_age = \"0s\"",
        "8:64: route[0].sse.token.max_age: zero makes no sense here",
    ),
    (
        "kind = \"django-signed\", key = \"k\", audience = \"a\"",
        "8:65: route[0].sse.token.audience: `audience` is for kind = \"jwt\"",
    ),
    (
        "kind = \"django-signed\", key = \"k\", slat = \"a\"",
        "8:54: route[0].sse.token.slat: unknown key \"slat\" (did you mean \"salt\"?)",
    ),
    (
        "kind = \"django-signed\", key = \"k\", from = []",
        "8:61: route[0].sse.token.from: a token that is looked for nowhere",
    ),
    (
        "kind = \"django-signed\", key = \"k\", from = [\"header\"]",
        "8:62: route[0].sse.token.from[0]: \"header\" is no place of a token (\"bearer\", or \"query:\" and the name of a parameter)",
    ),
    (
        "kind = \"django-signed\", key = \"k\", from = [\"query:\"]",
        "8:62: route[0].sse.token.from[0]: \"query:\" is no place of a token (\"bearer\", or \"query:\" and the name of a parameter)",
    ),
    (
        "kind = \"jwt\", alg = \"HS256\", key = \"${KEY}\", salt = \"s\"",
        "8:71: route[0].sse.token.salt: `salt` is for kind = \"django-signed\"",
    ),
    (
        "kind = \"jwt\", key = \"${KEY}\"",
        "8:17: route[0].sse.token.alg: \"alg\" is missing (one of HS256, ES256, EdDSA, RS256)",
    ),
    (
        "kind = \"jwt\", alg = \"none\", key = \"${KEY}\"",
        "8:39: route[0].sse.token.alg: \"none\" is not known here (there are: HS256, ES256, EdDSA, RS256)",
    ),
    (
        "kind = \"jwt\", alg = \"HS256\", key = \"${TOKEN}\"",
        "8:54: route[0].sse.token.key: a secret for HS256 has at least 32 bytes (RFC 7518, section 3.2)",
    ),
    (
        "kind = \"jwt\", alg = \"HS256\", key = \"${file:/run/public.pem}\"",
        "8:54: route[0].sse.token.key: a PEM key is no secret for HS256",
    ),
    (
        "kind = \"jwt\", alg = \"RS256\", key = \"${file:/run/public.pem}\"",
        "8:54: route[0].sse.token.key: no public key for RS256 in PEM form (-----BEGIN PUBLIC KEY-----)",
    ),
    (
        "kind = \"jwt\", alg = \"EdDSA\", key = \"-----BEGIN PRIVATE KEY-----\"",
        "8:54: route[0].sse.token.key: a private key: tokens are verified with the public one",
    ),
    (
        "kind = \"jwt\", alg = \"HS256\", key = \"${KEY}\", issuer = \"\"",
        "8:73: route[0].sse.token.issuer: an empty name (leave the key out)",
    ),
];

#[test]
fn each_mistake_is_told_at_its_place_and_quotes_no_key() {
    for (token, expected) in MISTAKES {
        assert_eq!(problems(&with(token)), [*expected], "{token}");
    }
    let beside = SHORT.replace(
        "proxy = \"django\"",
        "sse = { token = { kind = \"django-signed\", key = \"k\" }, channels = [\"a\"] }",
    );
    let expected = "8:67: route[0].sse.channels: the channels of this route are Django's to name, not the file's (leave out `channels`)";
    assert_eq!(problems(&beside), [expected]);
}
