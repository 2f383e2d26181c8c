//! `sse.notify`: how it is written, what is told about wrong ones, and that its secret stays one.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with(lines: &str) -> String {
    format!("{SHORT}[sse]\n{}", lines.replace("SECRET", SECRET))
}

const SECOND: &str = "\n[upstream.other]\nservers = [\"127.0.0.1:8001\"]\n";

#[test]
fn the_short_and_the_long_form_say_the_same_and_read_back() {
    let short = good(&with("notify = \"/in/\"\nnotify_secret = \"SECRET\""));
    let notify = short.notify.as_ref().unwrap();
    assert_eq!(
        (notify.upstream.as_str(), notify.path.as_str()),
        ("django", "/in/")
    );
    assert_eq!(notify.leave_after, Duration::from_secs(10));
    let long = with(
        "notify = { to = \"django\", path = \"/in/\" }\nnotify_secret = \"SECRET\"\nleave_after = \"0s\"",
    );
    let long = good(&format!("{long}{SECOND}"));
    assert_eq!(long.notify.as_ref().unwrap().leave_after, Duration::ZERO);
    for config in [short, long] {
        let shown = show(&config);
        assert!(!shown.contains("MfKQ9r8G"), "{shown}");
        assert!(!format!("{config:?}").contains("MfKQ9r8G"));
        let again = shown.replace(
            "notify_secret = \"***\"",
            &format!("notify_secret = {SECRET:?}"),
        );
        assert_eq!(show(&good(&again)), shown);
    }
    assert!(good(SHORT).notify.is_none());
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let example = "(as in { to = \"django\", path = \"/sse/notify/\" })";
    let secret = "notify_secret = \"SECRET\"";
    let hint = "(echo whsec_$(openssl rand -base64 32) makes one)";
    for (lines, expected) in [
        (
            "notify = \"/in/\"".to_owned(),
            "9:1: sse.notify_secret: \"notify_secret\" is missing".to_owned(),
        ),
        (
            secret.to_owned(),
            format!("10:17: sse.notify_secret: does nothing without `notify` {example}"),
        ),
        (
            "leave_after = \"1s\"".to_owned(),
            format!("10:15: sse.leave_after: does nothing without `notify` {example}"),
        ),
        (
            format!("{secret}\nnotfy = \"/in/\""),
            "11:1: sse.notfy: unknown key \"notfy\" (did you mean \"notify\"?)".to_owned(),
        ),
        (
            format!("{secret}\nnotify = \"in/\""),
            "11:10: sse.notify: \"in/\" is no path (as in \"/sse/notify/\")".to_owned(),
        ),
        (
            format!("{secret}\nnotify = \"/in/?a=b\""),
            "11:10: sse.notify: \"/in/?a=b\" is no path (as in \"/sse/notify/\")".to_owned(),
        ),
        (
            format!("{secret}\nnotify = {{ to = \"djngo\", path = \"/in/\" }}"),
            "11:17: sse.notify.to: unknown upstream \"djngo\" (did you mean \"django\"?)"
                .to_owned(),
        ),
        (
            format!("{secret}\nnotify = {{ to = \"django\" }}"),
            "11:10: sse.notify.path: \"path\" is missing".to_owned(),
        ),
        (
            format!("{secret}\nnotify = \"/in/\"{SECOND}"),
            format!("11:10: sse.notify: which upstream is told? {example}"),
        ),
        (
            "notify_secret = \"whsec_c2hvcnQ=\"\nnotify = \"/in/\"".to_owned(),
            format!(
                "10:17: sse.notify_secret: the key of a webhook secret has at least 24 bytes, this one has 5 {hint}"
            ),
        ),
        (
            "notify_secret = \"${TOKEN}\"\nnotify = \"/in/\"".to_owned(),
            format!("10:17: sse.notify_secret: a webhook secret begins with \"whsec_\" {hint}"),
        ),
    ] {
        assert_eq!(problems(&with(&lines)), [expected], "{lines}");
    }
}

#[test]
fn a_route_has_no_notify_of_its_own() {
    let route = "sse = { ask = \"django\", notify = \"/in/\" }";
    let found = problems(&SHORT.replace("proxy = \"django\"", route));
    assert_eq!(found, ["8:25: route[0].sse.notify: unknown key \"notify\""]);
}
