//! Redirects, fixed answers, users, pages, headers and the switch for maintenance.

use super::tokens::unmasked;
use super::*;
use crate::proxy::Hsts;

/// What is in a file.
pub(super) fn file(path: &str) -> Option<String> {
    Some(match path {
        "/run/502.html" => "<p>soon</p>".to_owned(),
        "/run/long.html" => "x".repeat(1 << 20),
        "/run/htpasswd" => format!("# people\n\nbob:{BCRYPT}\n"),
        "/run/nobody" => "# nobody yet\n".to_owned(),
        _ => return None,
    })
}

/// A hash of bcrypt, of "x".
pub(super) const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e";

/// More of everything.
pub(super) const EDGE: &str = r#"
version = 1
[listen.http]
address = "127.0.0.1:80"
redirect_to_https = true
[listen.high]
address = "127.0.0.1:8080"
redirect_to_https = true
redirect_port = 8444
[listen.https]
address = "127.0.0.1:8443"
tls = "main"
[tls.main]
cert = "/run/cert.pem"
key = "/run/key.pem"
[upstream.django]
servers = ["127.0.0.1:8000"]
[[route]]
path = "/old/<path:rest>"
redirect = { to = "/new/{rest}", status = 302 }
[[route]]
path = "/older/<path:rest>"
redirect = "https://old.test/{rest}"
[[route]]
path = "/fixed/"
respond = { status = 410, type = "text/html", body = "<p>$$1 \"x\"</p>\n", headers = { X-Robots-Tag = "none", Location = "/x" } }
cors = { origins = ["*"] }
[[route]]
path = "/ok/"
respond = {}
[[route]]
path = "/api/<path:rest>"
proxy = { to = "django", strip = "/api/" }
cors = { origins = ["https://app.test"], credentials = true }
basic_auth = { realm = "a \"b\"", users = ["ann:$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e"], file = "/run/htpasswd", pass_on = true }
[[route]]
path = "/live/"
sse = { channels = ["news"], public = true }
cors = { origins = ["*"] }
[[route]]
path = "/<path:rest>"
proxy = "django"
[headers]
set = { X-Content-Type-Options = "nosniff", x-price = "$$1" }
hsts = "1y"
hsts_subdomains = true
hsts_preload = true
[errors]
pages = { 502 = "/run/502.html" }
maintenance = { when_file = "/run/on", page = "/run/502.html", retry_after = "2m" }
"#;

#[test]
fn what_is_shown_of_it_reads_back() {
    let config = good(EDGE);
    let shown = show(&config);
    assert!(
        !shown.contains("$2b") && shown.contains("bob:***"),
        "{shown}"
    );
    let again = good(&unmasked(&shown));
    assert_eq!(format!("{again:#?}"), format!("{config:#?}"));
    assert_eq!(show(&again), shown);
}

#[test]
fn each_key_of_it_is_heard() {
    let config = good(EDGE);
    let ports: Vec<_> = config
        .listen
        .iter()
        .map(|listen| (listen.name.as_str(), listen.redirect_https))
        .collect();
    // Where https is, unless it is said.
    let expected = [("http", Some(8443)), ("high", Some(8444)), ("https", None)];
    assert_eq!(ports, expected);
    let hsts = Hsts::new(Duration::from_secs(31_536_000), true, true);
    assert_eq!(config.finish.hsts, Some(hsts));
    assert_eq!(config.finish.set[1].1, "$1");
    assert_eq!(&*config.finish.pages[0].1.text, b"<p>soon</p>");
    let maintenance = config.maintenance.unwrap();
    assert_eq!(maintenance.retry_after, Duration::from_secs(120));
    let target = |path| &config.routes.find(path).unwrap().0.target;
    let auth = target("/api/").basic_auth.as_ref().unwrap();
    assert_eq!(auth.users.names().collect::<Vec<_>>(), ["ann", "bob"]);
    assert_eq!(auth.challenge, r#"Basic realm="a \"b\"", charset="UTF-8""#);
    let RouteKind::Proxy { strip, .. } = &target("/api/").kind else {
        panic!("a proxy route");
    };
    assert_eq!(strip.as_deref(), Some("/api"));
    let RouteKind::Respond(fixed) = &target("/fixed/").kind else {
        panic!("a fixed answer");
    };
    assert_eq!(fixed.content_type, "text/html; charset=utf-8");
    assert_eq!(&*fixed.body, b"<p>$1 \"x\"</p>\n");
    let RouteKind::Public { stream, .. } = &target("/live/").kind else {
        panic!("a stream");
    };
    assert_eq!(stream.cors, Some(cors::Rules::Any));
}

#[test]
fn nothing_of_it_is_there_unless_it_is_written() {
    let config = good(SHORT);
    assert_eq!(config.finish, Finish::default());
    assert_eq!(
        (config.maintenance, config.listen[0].redirect_https),
        (None, None)
    );
    // TLS may end in front of the gateway.
    let text = SHORT.replace(":8080\"", ":8080\"\nredirect_to_https = true");
    assert_eq!(good(&text).listen[0].redirect_https, Some(443));
}

/// What stands in the place of the proxy in `SHORT`, and the whole line that must be told.
const ROUTES: &[(&str, &str)] = &[
    (
        "redirect = \"new/\"",
        "8:13: route[0].redirect: a redirect leads to a path of this site, or to an address with its scheme (as in \"/new/{rest}\" or \"https://example.com/{rest}\")",
    ),
    (
        "redirect = \"https://a.test{rest}\"",
        "8:27: route[0].redirect: the host of a redirect is written out (end it with a slash, as in \"https://example.com/{rest}\")",
    ),
    (
        "redirect = \"/a/{rst}\"",
        "8:17: route[0].redirect: the path has no \"rst\" (did you mean \"rest\"?)",
    ),
    (
        "redirect = { to = \"/a\", status = 300 }",
        "8:34: route[0].redirect.status: 300 is no redirect (one of 301, 302, 303, 307 and 308)",
    ),
    (
        "redirect = { status = 301 }",
        "8:12: route[0].redirect.to: \"to\" is missing",
    ),
    (
        "redirect = { too = \"/\", to = \"/\" }",
        "8:14: route[0].redirect.too: unknown key \"too\" (did you mean \"to\"?)",
    ),
    (
        "redirect = \"/\"\nrespond = {}",
        "9:11: route[0].respond: a route has one of `redirect` and `respond`, not both",
    ),
    (
        "respond = { status = 101 }",
        "8:22: route[0].respond.status: expected a whole number from 200 to 599",
    ),
    (
        "respond = { type = \"html\" }",
        "8:20: route[0].respond.type: \"html\" is no media type (as in \"text/plain\" or \"application/json\")",
    ),
    (
        "respond = { status = 204, body = \"x\" }",
        "8:34: route[0].respond.body: an answer 204 has no body",
    ),
    (
        "respond = { headers = { Content-Length = \"3\" } }",
        "8:42: route[0].respond.headers.Content-Length: each answer says this of itself",
    ),
    (
        "respond = { headers = { x = \"a\\nb\" } }",
        "8:29: route[0].respond.headers.x: a header has printable ASCII characters, and some",
    ),
    (
        "proxy = { to = \"django\", strip = \"api\" }",
        "8:34: route[0].proxy.strip: \"api\" is no path to take off (as in \"/api\")",
    ),
    (
        "proxy = { to = \"django\", strip = \"/api\" }",
        "8:34: route[0].proxy.strip: the path of this route does not begin with it (as in path = \"/api/<path:rest>\")",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { realm = \"x\" }",
        "9:14: route[0].basic_auth: nobody could come in (as in users = [\"ann:$argon2id$…\"]; `tidegate hash-password` makes it)",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { users = [\"from-the-environment\"] }",
        "9:25: route[0].basic_auth.users[0]: a user is a name, a colon and a hash (as in \"ann:$argon2id$…\")",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { users = [\"ann:secret\"] }",
        "9:25: route[0].basic_auth.users[0]: the password of \"ann\": a hash begins with $argon2id$ or $2b$; `tidegate hash-password` makes one",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { users = [\"ann:$argon2id$x\"] }",
        "9:25: route[0].basic_auth.users[0]: the password of \"ann\": the hash is damaged",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { file = \"/run/nobody\" }",
        "9:23: route[0].basic_auth.file: there is no user in this file",
    ),
    (
        "proxy = \"django\"\nbasic_auth = { file = \"/run/absent\" }",
        "9:23: route[0].basic_auth.file: \"/run/absent\": entity not found",
    ),
    (
        "proxy = \"django\"\ncors = { origins = [\"https://a/\"] }",
        "9:21: route[0].cors.origins[0]: \"https://a/\": no browser writes an origin like this (did you mean \"https://a\"?)",
    ),
];

/// What stands at the end of `SHORT`, and the whole line that must be told.
const TABLES: &[(&str, &str)] = &[
    (
        "[headers]\nset = { Connection = \"close\" }",
        "10:22: headers.set.Connection: each answer says this of itself",
    ),
    (
        "[headers]\nset = { Strict-Transport-Security = \"max-age=1\" }",
        "10:37: headers.set.Strict-Transport-Security: HSTS has a key of its own (as in hsts = \"1y\" of [headers], which is said over https only)",
    ),
    (
        "[headers]\nset = { Access-Control-Allow-Origin = \"*\" }",
        "10:39: headers.set.Access-Control-Allow-Origin: pages of other origins have a key of their own (`cors` of a route)",
    ),
    (
        "[headers]\nset = { a = \"1\", A = \"2\" }",
        "10:22: headers.set.A: this header is there already",
    ),
    (
        "[headers]\nset = { a = \"\" }",
        "10:13: headers.set.a: a header has printable ASCII characters, and some",
    ),
    (
        "[headers]\nhsts = \"30d\"\nhsts_preload = true",
        "11:16: headers.hsts_preload: browsers list nobody with less than a year and subdomains (hsts = \"1y\" and hsts_subdomains = true)",
    ),
    (
        "[errors]\npages = { 200 = \"/run/502.html\" }",
        "10:17: errors.pages.200: pages are for the statuses from 400 to 599 (as in 502 = \"/srv/errors/502.html\")",
    ),
    (
        "[errors]\npages = { 502 = \"/run/absent\" }",
        "10:17: errors.pages.502: \"/run/absent\": entity not found",
    ),
    (
        "[errors]\npages = { 502 = \"/run/long.html\" }",
        "10:17: errors.pages.502: a page is shorter than 1 MiB",
    ),
    (
        "[errors]\nmaintenance = { retry_after = \"1m\" }",
        "10:15: errors.maintenance.when_file: \"when_file\" is missing",
    ),
    (
        "[errors]\nmaintenance = { when_file = \"\" }",
        "10:29: errors.maintenance.when_file: the name of a file is not empty",
    ),
    (
        "[errors]\nmaintenance = { when_file = \"x\", retry_after = \"0s\" }",
        "10:48: errors.maintenance.retry_after: zero makes no sense here",
    ),
    (
        "[listen.b]\naddress = \"127.0.0.1:8\"\nredirect_port = 8443",
        "11:17: listen.b.redirect_port: does nothing without `redirect_to_https`",
    ),
    (
        "[listen.b]\naddress = \"127.0.0.1:8\"\nrole = \"internal\"\nredirect_to_https = true",
        "12:21: listen.b.redirect_to_https: only public listeners have somewhere to redirect to",
    ),
    (
        "[listen.b]\naddress = \"127.0.0.1:8\"\nredirect_to_https = true\ntls = \"main\"\n[tls.main]\ncert = \"/run/cert.pem\"\nkey = \"/run/key.pem\"",
        "11:21: listen.b.redirect_to_https: this listener speaks TLS itself (it is for a second listener, on port 80)",
    ),
];

#[test]
fn each_mistake_in_it_is_told_once_with_its_place_and_a_hint() {
    for (route, expected) in ROUTES {
        let text = SHORT.replace("proxy = \"django\"", route);
        assert_eq!(problems(&text), [*expected], "{route}");
    }
    for (table, expected) in TABLES {
        let text = format!("{SHORT}{table}\n");
        assert_eq!(problems(&text), [*expected], "{table}");
    }
}

#[test]
fn two_users_of_one_name_are_told() {
    let auth = format!("basic_auth = {{ users = [\"bob:{BCRYPT}\"], file = \"/run/htpasswd\" }}");
    let text = SHORT.replace("proxy = \"django\"", &format!("proxy = \"django\"\n{auth}"));
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = "route[0].basic_auth.file: there are two users called \"bob\"";
    assert!(found[0].ends_with(expected), "{found:?}");
}
