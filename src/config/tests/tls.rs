//! `[tls.*]`, and the listeners that name one.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::tls::MinVersion;

/// A certificate and a key that fits; they last for the whole run, for what is read twice must be the same.
static MADE: LazyLock<(String, String)> = LazyLock::new(made);

fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    (
        section("CERTIFICATE", made.cert.der()),
        section("PRIVATE KEY", &key),
    )
}

fn section(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// What is in a file.
pub(super) fn file(path: &str) -> Option<String> {
    let (cert, key) = &*MADE;
    Some(match path {
        "/run/cert.pem" => format!("{cert}{cert}"),
        "/run/key.pem" => key.clone(),
        "/run/both.pem" => format!("of the site:\n{key}{cert}"),
        "/run/other.pem" => made().1,
        "/run/ca.pem" | "/run/other-ca.pem" => cert.clone(),
        "/run/odd.pem" => section("CERTIFICATE", b"odd"),
        "/run/odd.key" => section("PRIVATE KEY", b"odd"),
        "/run/encrypted.key" => section("ENCRYPTED PRIVATE KEY", b"odd"),
        "/run/old.key" => {
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nb2Rk\n-----END RSA PRIVATE KEY-----\n"
                .to_owned()
        }
        "/run/half.pem" => cert.replace("-----END", ""),
        "/run/half.key" => key.replace("-----END", ""),
        _ => return None,
    })
}

#[test]
fn a_listener_has_the_certificate_it_names() {
    let config = good(FULL);
    let named = config.listen.iter().map(|listen| {
        let tls = listen.tls.iter();
        let tls: Vec<_> = tls.map(|tls| (&*tls.name, tls.min_version)).collect();
        (&*listen.name, tls)
    });
    let expected = [
        ("http", vec![]),
        ("inside", vec![]),
        ("outside", vec![("main", MinVersion::Tls12)]),
        ("https", vec![("next", MinVersion::Tls13)]),
        ("passed", vec![]),
        (
            "many",
            vec![("shop", MinVersion::Tls12), ("main", MinVersion::Tls12)],
        ),
        ("known", vec![("known", MinVersion::Tls12)]),
    ];
    assert_eq!(named.collect::<Vec<_>>(), expected);
    let certified = config.listen.iter().filter(|listen| listen.is_certified());
    let certified: Vec<_> = certified.map(|listen| &*listen.name).collect();
    assert_eq!(certified, ["known"]);
}

#[test]
fn a_key_is_never_shown() {
    let config = good(FULL);
    let key = MADE.1.lines().nth(1).unwrap();
    assert!(!show(&config).contains(key));
    let shown = format!("{config:?}");
    assert!(shown.contains("Identity([CertificateDer("), "{shown}");
    assert!(!shown.contains("SigningKey") && !shown.contains("PrivateKey"));
}

/// The table `[tls.main]`, and the whole line that must be told.
const MISTAKES: &[(&str, &str)] = &[
    (
        "key = \"/run/key.pem\"",
        "10:1: tls.main.cert: \"cert\" is missing",
    ),
    (
        "cert = \"/run/cert.pem\"",
        "10:1: tls.main.key: \"key\" is missing",
    ),
    (
        "cert = \"/none.pem\"\nkey = \"/run/key.pem\"",
        "11:8: tls.main.cert: \"/none.pem\": entity not found",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/none.pem\"",
        "12:7: tls.main.key: \"/none.pem\": entity not found",
    ),
    (
        "cert = \"/run/key.pem\"\nkey = \"/run/key.pem\"",
        "11:8: tls.main.cert: \"/run/key.pem\": there is no certificate in this file",
    ),
    (
        "cert = \"/run/half.pem\"\nkey = \"/run/key.pem\"",
        "11:8: tls.main.cert: \"/run/half.pem\": the PEM of this file is damaged",
    ),
    (
        "cert = \"/run/odd.pem\"\nkey = \"/run/key.pem\"",
        "11:8: tls.main.cert: \"/run/odd.pem\": the first certificate of this file is not X.509 version 3, or damaged",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/cert.pem\"",
        "12:7: tls.main.key: \"/run/cert.pem\": there is no private key in this file",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/half.key\"",
        "12:7: tls.main.key: \"/run/half.key\": the PEM of this file is damaged",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/encrypted.key\"",
        "12:7: tls.main.key: \"/run/encrypted.key\": the private key in this file is encrypted",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/old.key\"",
        "12:7: tls.main.key: \"/run/old.key\": the private key in this file is encrypted",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/odd.key\"",
        "12:7: tls.main.key: \"/run/odd.key\": the private key is damaged, or none of RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/other.pem\"",
        "12:7: tls.main.key: \"/run/other.pem\": this key does not belong to the certificate",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nmin_version = \"1.1\"",
        "13:15: tls.main.min_version: \"1.1\" is not known here (did you mean \"1.2\"?)",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nclient_ca = \"/none.pem\"",
        "13:13: tls.main.client_ca: \"/none.pem\": entity not found",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nclient_ca = \"/run/key.pem\"",
        "13:13: tls.main.client_ca: \"/run/key.pem\": there is no certificate in this file",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nclient_ca = \"/run/half.pem\"",
        "13:13: tls.main.client_ca: \"/run/half.pem\": the PEM of this file is damaged",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nclient_ca = \"/run/odd.pem\"",
        "13:13: tls.main.client_ca: \"/run/odd.pem\": a certificate of this file is not X.509 version 3, or damaged",
    ),
    (
        "cert = \"/run/cert.pem\"\nacme = { domains = [\"a.example\"], cache = \"/var\", ca = \"/run/ca.pem\" }",
        "11:8: tls.main.cert: a certificate comes from one place (`cert` and `key`, or `acme`, or `self_signed`)",
    ),
    (
        "self_signed = []",
        "11:15: tls.main.self_signed: a certificate has at least one name (as in self_signed = [\"localhost\", \"127.0.0.1\"])",
    ),
    (
        "self_signed = \"localhost\"",
        "11:15: tls.main.self_signed: expected a list, found a string (write [ … ])",
    ),
    (
        "self_signed = [\"localhost\", \"*.localhost\"]",
        "11:29: tls.main.self_signed[1]: \"*.localhost\": invalid dns name",
    ),
    (
        "self_signed = [\"localhost\"]\ncert = \"/run/cert.pem\"",
        "12:8: tls.main.cert: a certificate comes from one place (`cert` and `key`, or `acme`, or `self_signed`)",
    ),
    (
        "cert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"\nciphers = \"x\"",
        "13:1: tls.main.ciphers: unknown key \"ciphers\"",
    ),
];

#[test]
fn each_mistake_of_a_certificate_is_told_once_with_its_place() {
    // A listener that names it is not told of as well.
    let named = SHORT.replace("[upstream", "tls = \"main\"\n[upstream");
    for (table, expected) in MISTAKES {
        let text = format!("{named}[tls.main]\n{table}\n");
        assert_eq!(problems(&text), [*expected], "{table}");
    }
}

/// Certificates to choose among.
const TABLES: &str = r#"[tls.main]
cert = "/run/cert.pem"
key = "/run/key.pem"
[tls.shop]
cert = "/run/both.pem"
key = "/run/both.pem"
[tls.new]
cert = "/run/cert.pem"
key = "/run/key.pem"
min_version = "1.3"
[tls.known]
cert = "/run/cert.pem"
key = "/run/key.pem"
client_ca = "/run/ca.pem"
"#;

#[test]
fn each_mistake_of_a_listener_is_told_once_with_its_place() {
    for (written, expected) in [
        (
            "\"mian\"",
            "4:7: listen.http.tls: unknown certificate \"mian\" (did you mean \"main\"?)",
        ),
        (
            "true",
            "4:7: listen.http.tls: expected a string, found true or false",
        ),
        (
            "[]",
            "4:7: listen.http.tls: no certificate is named (leave `tls` out to speak plainly)",
        ),
        (
            "[1]",
            "4:8: listen.http.tls[0]: expected a string, found an integer",
        ),
        (
            "[\"main\", \"mian\"]",
            "4:16: listen.http.tls[1]: unknown certificate \"mian\" (did you mean \"main\"?)",
        ),
        (
            "[\"main\", \"shop\", \"main\"]",
            "4:24: listen.http.tls[2]: \"main\" is named twice",
        ),
        (
            "[\"main\", \"new\"]",
            "4:16: listen.http.tls[1]: \"new\" does not go with \"main\" (the same `client_ca` and `min_version`, or a listener of its own)",
        ),
        (
            "[\"known\", \"main\", \"known\"]",
            "4:17: listen.http.tls[1]: \"main\" does not go with \"known\" (the same `client_ca` and `min_version`, or a listener of its own)",
        ),
    ] {
        let listener = SHORT.replace("[upstream", &format!("tls = {written}\n[upstream"));
        let problems = problems(&format!("{listener}{TABLES}"));
        assert_eq!(problems[0], expected);
    }
    let unix = SHORT.replace("127.0.0.1:8080\"", "unix:/run/x\"\ntls = \"main\"");
    let expected = "4:7: listen.http.tls: TLS on a unix socket (TLS is for TCP: leave `tls` out)";
    assert_eq!(problems(&format!("{unix}{TABLES}")), [expected]);
}

#[test]
fn a_table_is_the_same_until_another_line_is_in_it() {
    let tables = |text: &str| good(&format!("{SHORT}{text}")).tls;
    let now = tables(TABLES);
    assert_eq!(now, tables(TABLES));
    for (old, new) in [
        ("min_version = \"1.3\"\n", ""),
        ("/run/ca.pem", "/run/other-ca.pem"),
        ("key = \"/run/both.pem\"", "key = \"/run/key.pem\""),
    ] {
        let changed = tables(&TABLES.replacen(old, new, 1));
        let same = now.iter().zip(&changed).filter(|(now, then)| now == then);
        assert_eq!(same.count(), now.len() - 1, "{old}");
    }
}

#[test]
fn known_clients_need_no_token_and_others_do() {
    let inside = |tls: &str| {
        let listener =
            format!("[listen.inside]\naddress = \"10.0.0.1:9090\"\nrole = \"internal\"\n{tls}\n");
        format!("{SHORT}{listener}{TABLES}")
    };
    let config = good(&inside("tls = [\"known\"]"));
    assert!(config.tokens.is_empty());
    let expected = "10:11: listen.inside.address: an internal listener that others can reach needs [publish] tokens \
        (listen on 127.0.0.1 or on a unix socket, set tokens, or use tls with client_ca)";
    assert_eq!(problems(&inside("")), [expected]);
    assert_eq!(problems(&inside("tls = \"main\"")), [expected]);
    // Of one that is wrong only that is told.
    let wrong = inside("tls = \"known\"").replace("/run/ca.pem", "/none.pem");
    assert_eq!(problems(&wrong).len(), 1);
}

#[test]
fn a_table_that_no_listener_names_is_read_all_the_same() {
    assert!(good(&format!("{SHORT}[tls]\n")).tls.is_empty());
    let text = format!("{SHORT}[tls.main]\ncert = \"/none.pem\"\nkey = \"/none.pem\"\n");
    assert_eq!(problems(&text).len(), 2);
}
