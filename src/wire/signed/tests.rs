//! Tokens of real Django and PyJWT (`tests/django/make_tokens.py`), and what strangers make of them.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

static MADE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../tests/django/tokens.json")).unwrap()
});

const SECRET: &str = "thirty-two bytes are not too many";
const HOUR: Duration = Duration::from_secs(3600);

fn text(pointer: &str) -> &'static str {
    MADE.pointer(pointer).unwrap().as_str().unwrap()
}

/// When Django made its tokens.
fn made() -> Duration {
    Duration::from_secs(MADE["made"].as_u64().unwrap())
}

fn by_django(name: &str) -> (&'static str, Verifier) {
    let all = MADE["django"].as_array().unwrap();
    let of_name = all.iter().position(|token| token["name"] == name).unwrap();
    let of = |field: &str| text(&format!("/django/{of_name}/{field}"));
    let django = Django::new(of("key"), of("salt"), HOUR);
    (of("token"), Verifier::Django(django))
}

/// What `signing.Signer` of the site would make of `value`.
fn signed_by_django(value: &str) -> String {
    let key = [text("/django/0/salt"), "signer", text("/django/0/key")].concat();
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    let signature = hmac::sign(&key, value.as_bytes());
    format!("{value}:{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn hs256() -> Verifier {
    Verifier::Jwt(Jwt::new(Algorithm::Hs256, SECRET, None, None).unwrap())
}

fn asymmetric(algorithm: Algorithm) -> (&'static str, Verifier) {
    let of = |field: &str| text(&format!("/jwt/{algorithm}/{field}"));
    let jwt = Jwt::new(algorithm, of("key"), None, None).unwrap();
    (of("token"), Verifier::Jwt(jwt))
}

/// A JWT signed with `secret`, whatever its header says.
fn jwt(header: &Value, claims: &Value, secret: &str) -> String {
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// What becomes of a JWT with these claims at the second 1,000.
fn claimed(verifier: &Verifier, claims: &Value) -> Result<Signed, TokenError> {
    let token = jwt(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET);
    verifier.verify(&token, Duration::from_secs(1000))
}

fn names(signed: &Signed) -> Vec<&str> {
    signed.channels.iter().map(ChannelName::as_str).collect()
}

fn user(signed: &Signed) -> Option<&str> {
    signed.user.as_ref().map(UserId::as_str)
}

#[test]
fn what_django_signs_is_read() {
    let (token, verifier) = by_django("plain");
    let signed = verifier.verify(token, made()).unwrap();
    assert_eq!(names(&signed), ["user-42", "news"]);
    assert_eq!((user(&signed), signed.until), (Some("42"), made() + HOUR));
    let (token, verifier) = by_django("compressed");
    assert!(token.starts_with('.'));
    let signed = verifier.verify(token, made()).unwrap();
    assert_eq!((names(&signed).len(), user(&signed)), (20, Some("zoë")));
    let (token, verifier) = by_django("salted");
    assert_eq!(user(&verifier.verify(token, made()).unwrap()), None);
}

#[test]
fn a_token_of_django_ends_with_its_age() {
    let (token, verifier) = by_django("plain");
    let moment = Duration::from_millis(1);
    let last = (made() + HOUR).checked_sub(moment).unwrap();
    assert!(verifier.verify(token, last).is_ok());
    for late in [made() + HOUR, made() + HOUR * 2, Duration::MAX] {
        assert_eq!(verifier.verify(token, late), Err(TokenError::Expired));
    }
    // Django's clock may be a little ahead, and Django itself does not mind either.
    assert!(verifier.verify(token, HOUR).is_ok());
}

#[test]
fn another_key_or_salt_signs_nothing_here() {
    let (token, _) = by_django("plain");
    let (key, salt) = (text("/django/0/key"), text("/django/0/salt"));
    for (key, salt) in [
        ("other", salt),
        (key, "other"),
        (key, "another salt"),
        ("", ""),
    ] {
        let verifier = Verifier::Django(Django::new(key, salt, HOUR));
        let found = verifier.verify(token, made());
        assert_eq!(found, Err(TokenError::Signature), "{key} {salt}");
    }
}

#[test]
fn what_the_site_signed_wrongly_is_its_mistake() {
    let (_, verifier) = by_django("plain");
    let at = |value: &str| signed_by_django(&format!("{value}:1r31eq"));
    let payload = |value: &Value| at(&BASE64_URL_SAFE_NO_PAD.encode(value.to_string()));
    let many: Vec<_> = (0..101).map(|number| format!("c{number}")).collect();
    let by_name = |name| by_django(name).0.to_owned();
    let bad_name = crate::domain::InvalidChannel::Character(',');
    for (token, mistake) in [
        (by_name("no channels"), Mistake::NoChannels),
        (by_name("inflated"), Mistake::TooLong),
        (by_name("no object"), Mistake::NoObject),
        (text("/bare").to_owned(), Mistake::NoTime),
        (signed_by_django("e30:"), Mistake::NoTime),
        (signed_by_django("e30:zzzzzzzzzzzz"), Mistake::NoTime),
        (at("e30="), Mistake::Encoding),
        (at("."), Mistake::Encoding),
        (at(".e30"), Mistake::Encoding),
        (at("e3"), Mistake::Encoding),
        (at(""), Mistake::NoObject),
        (payload(&json!({"channels": []})), Mistake::NoChannels),
        (payload(&json!({"channels": "a"})), Mistake::NoChannels),
        (payload(&json!({"channels": ["a", 1]})), Mistake::NoChannels),
        (
            payload(&json!({"channels": ["a,b"]})),
            Mistake::Channel(bad_name),
        ),
        (payload(&json!({"channels": many})), Mistake::TooMany),
        (
            payload(&json!({"channels": ["a"], "user": ""})),
            Mistake::User,
        ),
        (
            payload(&json!({"channels": ["a"], "user": 1.5})),
            Mistake::User,
        ),
        (
            payload(&json!({"channels": ["a"], "user": true})),
            Mistake::User,
        ),
        (
            payload(&json!({"channels": ["a"], "user": "a\nb"})),
            Mistake::User,
        ),
    ] {
        let found = verifier.verify(&token, made());
        assert!(!mistake.hint().is_empty());
        assert_eq!(found, Err(TokenError::Payload(mistake)), "{token}");
    }
}

#[test]
fn channels_count_once_and_a_user_may_be_absent() {
    let signed = claimed(&hs256(), &json!({"channels": ["a", "b", "a"], "exp": 2000})).unwrap();
    assert_eq!(names(&signed), ["a", "b"]);
    let many: Vec<_> = (0..200)
        .map(|number| format!("c{}", number % 100))
        .collect();
    let signed = claimed(&hs256(), &json!({"channels": many, "exp": 2000})).unwrap();
    assert_eq!(signed.channels.len(), 100);
    for (more, expected) in [
        (json!({}), None),
        (json!({"user": null}), None),
        (json!({"user": "u", "sub": "s"}), Some("u")),
        (json!({"user": null, "sub": "s"}), Some("s")),
        (json!({"user": -7}), Some("-7")),
        (json!({"sub": u64::MAX}), Some("18446744073709551615")),
    ] {
        let mut claims = json!({"channels": ["a"], "exp": 2000});
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(
            user(&claimed(&hs256(), &claims).unwrap()),
            expected,
            "{claims}"
        );
    }
}

#[test]
fn jwts_of_every_algorithm_are_verified() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (token, verifier) = asymmetric(algorithm);
        let signed = verifier.verify(token, made()).unwrap();
        assert_eq!(names(&signed), ["user-42", "news"], "{algorithm}");
        assert_eq!(user(&signed), Some("42"));
        let end = Duration::from_secs(MADE["end"].as_u64().unwrap());
        assert_eq!(signed.until, end);
        assert_eq!(verifier.verify(token, end), Err(TokenError::Expired));
        // The same key in its other form.
        if algorithm == Algorithm::Rs256 {
            let pem = text("/keys/RSA PUBLIC KEY");
            let verifier = Verifier::Jwt(Jwt::new(algorithm, pem, None, None).unwrap());
            assert!(verifier.verify(token, made()).is_ok());
        }
    }
}

#[test]
fn only_the_algorithm_of_the_route_counts() {
    let claims = json!({"channels": ["a"], "exp": 9_999_999_999_u64});
    let public = text("/jwt/RS256/key");
    let (_, rs256) = asymmetric(Algorithm::Rs256);
    let (es256, _) = asymmetric(Algorithm::Es256);
    let unsigned = |alg: &str| {
        let token = jwt(&json!({"alg": alg}), &claims, SECRET);
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    for (verifier, token, expected) in [
        (hs256(), unsigned("none"), TokenError::Algorithm),
        (hs256(), unsigned("None"), TokenError::Algorithm),
        (hs256(), unsigned("HS256"), TokenError::Signature),
        (
            hs256(),
            jwt(&json!({"alg": "hs256"}), &claims, SECRET),
            TokenError::Algorithm,
        ),
        (
            hs256(),
            jwt(&json!({"alg": "HS512"}), &claims, SECRET),
            TokenError::Algorithm,
        ),
        (
            hs256(),
            jwt(&json!({"alg": ["HS256"]}), &claims, SECRET),
            TokenError::Algorithm,
        ),
        (
            hs256(),
            jwt(&json!({"typ": "JWT"}), &claims, SECRET),
            TokenError::Algorithm,
        ),
        (hs256(), es256.to_owned(), TokenError::Algorithm),
        // The public key, which everybody has, taken for a secret.
        (
            rs256.clone(),
            jwt(&json!({"alg": "HS256"}), &claims, public),
            TokenError::Algorithm,
        ),
        (
            rs256,
            jwt(&json!({"alg": "RS256"}), &claims, public),
            TokenError::Signature,
        ),
    ] {
        assert_eq!(verifier.verify(&token, made()), Err(expected), "{token}");
    }
}

#[test]
fn a_jwt_that_demands_more_than_is_known_is_refused() {
    let claims = json!({"channels": ["a"], "exp": 2000});
    for crit in [json!(["exp"]), json!([]), json!(null), json!("b64")] {
        let token = jwt(&json!({"alg": "HS256", "crit": crit}), &claims, SECRET);
        let found = hs256().verify(&token, Duration::from_secs(1000));
        assert_eq!(found, Err(TokenError::Critical));
    }
    // Other fields of the header say nothing that matters here.
    let header = json!({"alg": "HS256", "kid": 5, "jku": "https://evil.test/", "x": {"y": []}});
    let token = jwt(&header, &claims, SECRET);
    assert!(hs256().verify(&token, Duration::from_secs(1000)).is_ok());
}

#[test]
fn a_jwt_holds_from_nbf_to_exp() {
    let at = |exp: Value, nbf: Value| {
        let claims = json!({"channels": ["a"], "exp": exp, "nbf": nbf});
        claimed(&hs256(), &claims).map(|signed| signed.until)
    };
    let none = || json!(null);
    assert_eq!(at(json!(1001), none()), Ok(Duration::from_secs(1001)));
    assert_eq!(
        at(json!(1000.5), none()),
        Ok(Duration::from_millis(1_000_500))
    );
    assert_eq!(
        at(json!(u64::MAX), none()),
        Ok(Duration::from_secs(u64::MAX))
    );
    assert_eq!(at(json!(1e300), none()), Ok(Duration::MAX));
    for exp in [
        json!(1000),
        json!(999.999),
        json!(0),
        json!(-5),
        json!(-1e300),
    ] {
        assert_eq!(at(exp, none()), Err(TokenError::Expired));
    }
    for exp in [none(), json!("2000"), json!([2000]), json!(true)] {
        assert_eq!(at(exp, none()), Err(TokenError::Payload(Mistake::Expiry)));
    }
    // The issuer's clock may be ten seconds ahead, and no more.
    for nbf in [json!(0), json!(1000), json!(1010), json!(-1)] {
        assert!(at(json!(2000), nbf).is_ok());
    }
    for nbf in [json!(1010.5), json!(1011), json!(u64::MAX), json!(1e300)] {
        assert_eq!(at(json!(2000), nbf), Err(TokenError::NotYet));
    }
    let mistake = Err(TokenError::Payload(Mistake::NotBefore));
    assert_eq!(at(json!(2000), json!("1000")), mistake);
}

#[test]
fn audience_and_issuer_are_demanded_where_the_route_names_them() {
    let verifier = |audience, issuer| {
        Verifier::Jwt(Jwt::new(Algorithm::Hs256, SECRET, audience, issuer).unwrap())
    };
    let with =
        |aud: Value, iss: Value| json!({"channels": ["a"], "exp": 2000, "aud": aud, "iss": iss});
    let none = || json!(null);
    let audience = verifier(Some("us"), None);
    for aud in [json!("us"), json!(["them", "us"])] {
        assert!(claimed(&audience, &with(aud, json!("anybody"))).is_ok());
    }
    for aud in [
        none(),
        json!("them"),
        json!([]),
        json!(["them"]),
        json!({"us": 1}),
        json!("u"),
    ] {
        let found = claimed(&audience, &with(aud, none()));
        assert_eq!(found, Err(TokenError::Audience));
    }
    // A token for somebody is not for a route that does not know who it is.
    let found = claimed(&hs256(), &with(json!("us"), none()));
    assert_eq!(found, Err(TokenError::Payload(Mistake::Audience)));
    let issuer = verifier(None, Some("site"));
    assert!(claimed(&issuer, &with(none(), json!("site"))).is_ok());
    for iss in [none(), json!("other"), json!(["site"])] {
        let found = claimed(&issuer, &with(none(), iss));
        assert_eq!(found, Err(TokenError::Issuer));
    }
}

#[test]
fn keys_are_for_one_algorithm() {
    use Algorithm::{EdDsa, Es256, Hs256, Rs256};
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let certificate = text("/jwt/RS256/key").replace("PUBLIC KEY", "CERTIFICATE");
    let other = "-----BEGIN PUBLIC KEY-----\nMAMBAf8=\n-----END PUBLIC KEY-----\n";
    for (algorithm, key, expected) in [
        (Hs256, "", InvalidKey::Short),
        (Hs256, &SECRET[..31], InvalidKey::Short),
        (Hs256, text("/jwt/RS256/key"), InvalidKey::Pem),
        (Rs256, private, InvalidKey::Private),
        (Rs256, SECRET, InvalidKey::NotPublic(Rs256)),
        (Rs256, certificate.as_str(), InvalidKey::NotPublic(Rs256)),
        (Rs256, text("/keys/RSA 1024"), InvalidKey::Length),
        (Rs256, text("/jwt/ES256/key"), InvalidKey::NotPublic(Rs256)),
        (Es256, text("/jwt/EdDSA/key"), InvalidKey::NotPublic(Es256)),
        (Es256, text("/keys/P-384"), InvalidKey::NotPublic(Es256)),
        (
            Es256,
            text("/keys/RSA PUBLIC KEY"),
            InvalidKey::NotPublic(Es256),
        ),
        (EdDsa, text("/jwt/RS256/key"), InvalidKey::NotPublic(EdDsa)),
        (EdDsa, other, InvalidKey::NotPublic(EdDsa)),
    ] {
        let found = Jwt::new(algorithm, key, None, None).unwrap_err();
        assert_eq!(found, expected, "{algorithm} {key}");
    }
    let printed = format!("{:?}{:?}", hs256(), by_django("plain").1);
    assert!(!printed.contains(SECRET) && !printed.contains("a key of the site"));
}

#[test]
fn a_token_has_a_bound() {
    let (_, django) = by_django("plain");
    for verifier in [django, hs256()] {
        let long = "a".repeat(LONGEST + 1);
        assert_eq!(verifier.verify(&long, made()), Err(TokenError::TooLong));
        for short in ["", ".", "..", ":", "::", "a:b:c", "a.b.c", &long[1..]] {
            let found = verifier.verify(short, made());
            assert!(
                matches!(found, Err(TokenError::Malformed | TokenError::Signature)),
                "{short:?}: {found:?}"
            );
        }
    }
}

/// All good tokens there are, with what verifies them.
fn all() -> Vec<(String, Verifier)> {
    let jwts = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(asymmetric);
    let django = ["plain", "compressed"].map(by_django);
    let claims = json!({"channels": ["a"], "exp": 9_999_999_999_u64});
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let named = jwts.into_iter().chain(django);
    let named = named.map(|(token, verifier)| (token.to_owned(), verifier));
    named
        .chain([(jwt(&header, &claims, SECRET), hs256())])
        .collect()
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in "[.:]?(\\PC{0,8}|[A-Za-z0-9_-]{0,40})([.:](\\PC{0,8}|[A-Za-z0-9_-]{0,40})){0,3}") {
        for (_, verifier) in all() {
            prop_assert!(verifier.verify(&text, made()).is_err());
        }
    }

    #[test]
    fn any_change_of_a_byte_is_refused(at in any::<prop::sample::Index>(), new in "[ -~]") {
        for (token, verifier) in all() {
            let at = at.index(token.len());
            let changed = format!("{}{new}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(verifier.verify(&changed, made()).is_ok(), changed == token, "{}", changed);
            let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
            prop_assert!(verifier.verify(&shorter, made()).is_err());
        }
    }

    #[test]
    fn whatever_the_site_signs_is_read_without_panic(value in "\\.?([A-Za-z0-9_-]{0,30}|\\PC{0,9})(:[0-9A-Za-z-]{0,14})?") {
        let (_, verifier) = by_django("plain");
        prop_assert!(verifier.verify(&signed_by_django(&value), made()).is_err());
    }

    #[test]
    fn no_key_makes_it_panic(at in any::<prop::sample::Index>(), new in "\\PC{0,3}", name in "RS256|ES256|EdDSA") {
        let pem = text(&format!("/jwt/{name}/key"));
        let at = at.index(pem.len());
        let changed = format!("{}{new}{}", &pem[..at], &pem[at + 1..]);
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            drop(Jwt::new(algorithm, &changed, None, None));
        }
    }
}
