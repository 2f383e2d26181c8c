//! `grip` of an upstream: how it is written, what is told about wrong ones, and that its key stays a secret.

use super::*;
use crate::upstream::Grip;

fn with(grip: &str) -> String {
    let upstream = "servers = [\"127.0.0.1:8000\"]\n";
    SHORT.replace(upstream, &format!("{upstream}grip = {grip}\n"))
}

fn grip(text: &str) -> Option<Grip> {
    good(&with(text)).upstreams[0].grip.clone()
}

/// What is in a file.
pub(super) fn file(path: &str) -> Option<String> {
    Some(match path {
        "/run/grip.hex" => "6368616e67656d65\n".to_owned(),
        "/run/grip.txt" => "changeme\n".to_owned(),
        "/run/grip.pem" => tls::file("/run/key.pem")?,
        _ => return None,
    })
}

#[test]
fn it_is_off_on_or_a_table() {
    assert!(grip("false").is_none() && good(SHORT).upstreams[0].grip.is_none());
    let on = grip("true").unwrap();
    assert!(on.key.is_none() && on.prefix.is_empty());
    assert_eq!((&*on.iss, on.links_at_once.get()), ("pushpin", 4));
    assert_eq!(on.link_every, Duration::from_secs(600));
    let table = grip(
        "{ key = \"changeme\", iss = \"tidegate\", prefix = \"x-\", link_every = \"1m\", links_at_once = 9 }",
    );
    let table = table.unwrap();
    assert_eq!((&*table.iss, &*table.prefix), ("tidegate", "x-"));
    assert_eq!(table.links_at_once.get(), 9);
    assert!(grip("{}").unwrap().key.is_none());
}

#[test]
fn a_key_is_written_in_several_ways() {
    for key in ["changeme", "base64:Y2hhbmdlbWU=", "file:/run/grip.hex"] {
        let key = grip(&format!("{{ key = {key:?} }}")).unwrap().key.unwrap();
        assert!(key.opens("changeme", 0));
    }
    let pem = grip("{ key = \"file:/run/grip.pem\" }").unwrap().key;
    assert!(pem.unwrap().sign("pushpin", 1).is_some());
    assert!(grip("{ key = \"${file:/run/grip.pem}\" }").is_some());
}

#[test]
fn it_reads_back_as_it_is_shown_but_for_the_key() {
    for text in [
        "false",
        "true",
        "{ key = \"changeme\", iss = \"i\", prefix = \"a b\" }",
    ] {
        let config = good(&with(text));
        let shown = show(&config);
        assert!(!shown.contains("changeme") && !format!("{config:?}").contains("changeme"));
        let again = shown.replace("key = \"***\"", "key = \"changeme\"");
        assert_eq!(show(&good(&again)), shown);
    }
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    for (text, expected) in [
        (
            "7",
            "6:8: upstream.django.grip: expected true or false, found an integer",
        ),
        (
            "{ key = \"\" }",
            "6:16: upstream.django.grip.key: the key is empty",
        ),
        (
            "{ key = \"***\" }",
            "6:16: upstream.django.grip.key: this is no key (`tidegate show` masks it: write the key itself)",
        ),
        (
            "{ key = \"base64:!\" }",
            "6:16: upstream.django.grip.key: what follows base64: is no base64",
        ),
        (
            "{ key = \"file:/run/grip.txt\" }",
            "6:16: upstream.django.grip.key: /run/grip.txt is neither a PEM nor hexadecimal \
             (a secret as it is goes into the key: \"${file:/path}\")",
        ),
        (
            "{ iss = \"\" }",
            "6:16: upstream.django.grip.iss: an issuer has a name",
        ),
        (
            "{ links_at_once = 0 }",
            "6:26: upstream.django.grip.links_at_once: expected a whole number from 1 to 1000",
        ),
        (
            "{ link_every = \"0s\" }",
            "6:23: upstream.django.grip.link_every: zero makes no sense here",
        ),
        (
            "{ keys = \"a\" }",
            "6:10: upstream.django.grip.keys: unknown key \"keys\" (did you mean \"key\"?)",
        ),
    ] {
        assert_eq!(problems(&with(text)), [expected]);
    }
    let long = format!("{{ prefix = {:?} }}", "p".repeat(201));
    let told = "6:19: upstream.django.grip.prefix: a prefix has at most 200 bytes and no control characters";
    assert_eq!(problems(&with(&long)), [told]);
}
