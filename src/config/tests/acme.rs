//! `acme` of `[tls.*]`.

use super::*;
use crate::tls::{Acme, Challenge};

/// A listener for HTTP and one for TLS, with this in `acme`.
fn with(acme: &str) -> String {
    let table = format!("acme = {{ cache = \"/var/acme\", ca = \"/run/ca.pem\", {acme} }}\n");
    format!(
        "{SHORT}[listen.https]\naddress = \"127.0.0.1:8443\"\ntls = \"main\"\n[tls.main]\n{table}"
    )
}

fn read(text: &str) -> (Acme, Vec<Challenge>) {
    let config = good(text);
    let settings = &config.tls[0];
    let ways = ways(settings, &config.listen);
    (settings.acme().unwrap().clone(), ways)
}

const DOMAINS: &str = "domains = [\"Example.com\", \"www.example.com\"]";

#[test]
fn a_certificate_is_ordered_for_its_domains() {
    let (acme, both) = read(&with(DOMAINS));
    assert_eq!(acme.domains, ["example.com", "www.example.com"]);
    assert_eq!((acme.contact, acme.external_account), (None, None));
    assert_eq!(
        acme.directory,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    assert_eq!(both, [Challenge::Http01, Challenge::TlsAlpn01]);

    let more = "contact = \"ops@example.com\", directory = \"https://ca.test:14000/dir\", challenge = \"tls-alpn-01\", \
        external_account = { key_id = \"7\", hmac = \"c2VjcmV0\" }";
    let text = with(&format!("{DOMAINS}, {more}"));
    let (acme, ways) = read(&text);
    assert_eq!(acme.contact.as_deref(), Some("mailto:ops@example.com"));
    assert_eq!(ways, [Challenge::TlsAlpn01]);
    let external = acme.external_account.as_ref().unwrap();
    assert_eq!((&*external.key_id, &*external.hmac), ("7", &b"secret"[..]));
    assert!(!format!("{acme:?}").contains("115, 101"));

    let shown = show(&good(&text));
    assert!(shown.contains("hmac = \"***\"") && !shown.contains("c2VjcmV0"));
    let (again, _) = read(&shown.replace("***", "c2VjcmV0"));
    assert_eq!(again, acme);
    let other = text.replace("c2VjcmV0", "c2VjcmV1");
    assert_ne!(good(&other).tls, good(&text).tls);
}

#[test]
fn how_it_is_looked_is_a_matter_of_the_listeners() {
    let text = with(DOMAINS);
    let no_http = text.replace(
        "[listen.http]\naddress = \"127.0.0.1:8080\"",
        "[listen.http]\naddress = \"127.0.0.1:8080\"\ntls = \"main\"",
    );
    assert_eq!(read(&no_http).1, [Challenge::TlsAlpn01]);
    let known = format!("{text}client_ca = \"/run/ca.pem\"\n");
    assert_eq!(read(&known).1, [Challenge::Http01]);
    let neither = format!("{no_http}client_ca = \"/run/ca.pem\"\n");
    let told = "no listener can answer who looks whether these names are ours";
    let one = |text: &str, hint: &str| {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with(&format!("tls.main.acme: {told} ({hint})")),
            "{found:?}"
        );
    };
    one(
        &neither,
        "a public listener without tls, or one with this certificate and without client_ca",
    );
    let http = no_http.replace("cache =", "challenge = \"http-01\", cache =");
    one(&http, "HTTP-01 needs a public listener without tls");
    let tls = known.replace("cache =", "challenge = \"tls-alpn-01\", cache =");
    one(
        &tls,
        "TLS-ALPN-01 needs a listener with this certificate, without client_ca",
    );
}

#[test]
fn each_mistake_is_told_once_with_its_key() {
    let many: Vec<_> = (0..101).map(|n| format!("\"a{n}.test\"")).collect();
    let many = format!("domains = [{}]", many.join(", "));
    let eab = |rest: &str| format!("{DOMAINS}, external_account = {{ {rest} }}");
    for (acme, expected) in [
        ("", "acme.domains: \"domains\" is missing"),
        (
            "domains = []",
            "acme.domains: a certificate has at least one name (as in domains = [\"example.com\"])",
        ),
        (&many, "acme.domains: a certificate has at most 100 names"),
        (
            "domains = [\"a.test\", \"A.test\"]",
            "acme.domains[1]: \"A.test\" is there twice",
        ),
        (
            "domains = [\"*.a.test\"]",
            "acme.domains[0]: a name with a star needs DNS-01, which is not spoken here (have it made by another program, \
                and name its files with `cert` and `key`)",
        ),
        (
            "domains = [\"10.0.0.1\"]",
            "acme.domains[0]: an address gets no certificate here, only names do",
        ),
        (
            "domains = [\"https://a.test\"]",
            "acme.domains[0]: \"https://a.test\" is no name of a host (as in \"www.example.com\"; letters beyond ASCII as \
                \"xn--…\")",
        ),
        (
            &format!("{DOMAINS}, contact = \"ops\""),
            "acme.contact: \"ops\" is no mail address (as in \"ops@example.com\")",
        ),
        (
            &format!("{DOMAINS}, directory = \"http://a.test/\""),
            "acme.directory: \"http://a.test/\" is no address of https (as in \
                \"https://acme-v02.api.letsencrypt.org/directory\")",
        ),
        (
            &format!("{DOMAINS}, challenge = \"dns-01\""),
            "acme.challenge: \"dns-01\" is not known here (there are: http-01, tls-alpn-01)",
        ),
        (
            &eab("key_id = \"7\""),
            "acme.external_account.hmac: \"hmac\" is missing",
        ),
        (
            &eab("key_id = \"7\", hmac = \"%\""),
            "acme.external_account.hmac: a key in base64 is needed",
        ),
        (
            &eab("key_id = \"7\", hmac = \"***\""),
            "acme.external_account.hmac: this is no key (`tidegate show` masks it: write the key itself)",
        ),
    ] {
        let found = problems(&with(acme));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with(&format!(": tls.main.{expected}")),
            "{found:?}"
        );
    }
    let text = with(DOMAINS).replace("cache = \"/var/acme\", ", "");
    assert!(problems(&text)[0].ends_with("\"cache\" is missing"));
    let both = format!("{}self_signed = [\"a.test\"]\n", with(DOMAINS));
    assert!(problems(&both)[0].contains("a certificate comes from one place"));
}
