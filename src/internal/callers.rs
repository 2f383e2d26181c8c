//! Who may call where there are no tokens: programs, and of browsers only the console and who opens a document by its
//! address.
//!
//! `Access::authenticate` asks. Every program of this machine may call then, so what must be kept out is a browser that acts
//! for a page of somebody else. It says whose page by itself, in fields that no script can set: `Sec-Fetch-Site`, towards
//! https and loopback hosts, and `Origin`, on whatever does more than look. Another port of this machine is `same-site` and no
//! better than any other site. A name that somebody made point to this machine would be `same-origin` to itself: that is why
//! the host must be loopback. A doubt refuses.

use http::header::{AsHeaderName, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, request};

use crate::domain::{ConnInfo, Peer};
use crate::wire::host;
use crate::wire::problem::Problem;

/// Which requests of browsers are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Browsers {
    /// Those of the console: only if there is one.
    pub(super) console: bool,
    /// Those for an address that somebody typed: only for what is made to be read.
    pub(super) address_bar: bool,
}

/// Whom a request comes from, by what it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller<'h> {
    /// No browser says anything.
    Program,
    /// A page of this very listener, and there is but one; with its `Origin`, if it says that too.
    Console(Option<&'h HeaderValue>),
    /// Somebody who typed the address, or has it from outside of the browser.
    AddressBar,
    /// Any other page, or what no browser sends.
    Page,
}

/// Refuses what a browser may not do.
pub(super) fn let_in(
    parts: &request::Parts,
    conn: &ConnInfo,
    browsers: Browsers,
) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::forbidden(detail.to_owned()));
    let not_a_page =
        "a web page may not call the internal listener; set [publish] tokens to allow it";
    let caller = caller(&parts.headers);
    match caller {
        Caller::Program => {}
        Caller::Console(_) if browsers.console => {}
        Caller::AddressBar if browsers.address_bar => {}
        Caller::Console(_) | Caller::AddressBar | Caller::Page => return refuse(not_a_page),
    }
    // Programs put any name there. A browser comes to a unix socket only through a tunnel, by the name of the tunnel's end.
    let is_private = conn.peer == Peer::Unix || conn.certified;
    if caller == Caller::Program && is_private && parts.headers.get_all(HOST).iter().count() <= 1 {
        return Ok(());
    }
    // Who comes by TLS has been shown a certificate for that name; nobody else has one for a name of his own.
    let is_ours = |host: &host::Host| conn.certified || host::is_loopback(host);
    let name = match host::of_request(parts) {
        Ok((host, name)) if is_ours(&host) => name,
        _ => {
            return refuse(
                "without [publish] tokens the internal listener answers only to a loopback Host",
            );
        }
    };
    if let Caller::Console(Some(origin)) = caller {
        let scheme = if conn.tls { "https" } else { "http" };
        if *origin != format!("{scheme}://{name}") {
            return refuse(not_a_page);
        }
    }
    Ok(())
}

fn caller(headers: &HeaderMap) -> Caller<'_> {
    let site = only(headers, "sec-fetch-site");
    match (site, only(headers, ORIGIN)) {
        (Said::Nothing, Said::Nothing) => Caller::Program,
        (Said::Once(site), Said::Nothing) if site == "same-origin" => Caller::Console(None),
        (Said::Once(site), Said::Once(origin)) if site == "same-origin" => {
            Caller::Console(Some(origin))
        }
        // An extension of the browser says `none` as well, for it may call whom it likes; it does not navigate.
        (Said::Once(site), Said::Nothing) if site == "none" && navigates(headers) => {
            Caller::AddressBar
        }
        _ => Caller::Page,
    }
}

fn navigates(headers: &HeaderMap) -> bool {
    matches!(only(headers, "sec-fetch-mode"), Said::Once(mode) if mode == "navigate")
}

/// What a field says that may be there once.
enum Said<'h> {
    Nothing,
    Once(&'h HeaderValue),
    Twice,
}

fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Said<'_> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Said::Nothing,
        (Some(line), None) => Said::Once(line),
        (Some(_), Some(_)) => Said::Twice,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::domain::ConnId;

    const CONSOLE: Browsers = Browsers {
        console: true,
        address_bar: false,
    };
    const DOCUMENT: Browsers = Browsers {
        console: true,
        address_bar: true,
    };
    const NOBODY: Browsers = Browsers {
        console: false,
        address_bar: false,
    };
    const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
    const NONE: (&str, &str) = ("sec-fetch-site", "none");
    const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");

    #[derive(Clone, Copy)]
    enum By {
        Tcp,
        Tls,
        Unix,
        Certificate,
    }

    fn conn(by: By) -> ConnInfo {
        let peer = match by {
            By::Tcp | By::Tls | By::Certificate => Peer::Tcp("127.0.0.1:5".parse().unwrap()),
            By::Unix => Peer::Unix,
        };
        ConnInfo {
            id: ConnId(1),
            peer,
            local_port: Some(9090),
            tls: matches!(by, By::Tls | By::Certificate),
            redirect_https: None,
            certified: matches!(by, By::Certificate),
            unnamed: false,
        }
    }

    fn is_let_in(by: By, host: &str, lines: &[(&str, &str)], browsers: Browsers) -> bool {
        let mut request = Request::builder().uri("/v1/stats").header(HOST, host);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let answer = let_in(&parts, &conn(by), browsers);
        answer.is_ok()
    }

    #[test]
    fn programs_may_call_and_so_may_the_console_and_no_other_page() {
        let here = "localhost:9090";
        let origin = |value| ("origin", value);
        let site = |value| ("sec-fetch-site", value);
        let ours = origin("http://localhost:9090");
        for (lines, expected) in [
            (&[][..], true),
            (&[NAVIGATE], true),
            (&[SAME], true),
            (&[SAME, ours], true),
            (&[ours, SAME], true),
            // Without the other field it may be a browser that knows no better.
            (&[ours], false),
            (&[origin("null")], false),
            (&[SAME, origin("null")], false),
            (&[SAME, origin("")], false),
            (&[SAME, origin("https://localhost:9090")], false),
            (&[SAME, origin("http://localhost:9091")], false),
            (&[SAME, origin("http://localhost")], false),
            (&[SAME, origin("http://localhost:9090/")], false),
            (&[SAME, origin("http://LOCALHOST:9090")], false),
            (&[SAME, origin("http://127.0.0.1:9090")], false),
            (&[SAME, origin("http://evil.test")], false),
            (&[SAME, ours, ours], false),
            (&[SAME, SAME], false),
            (&[SAME, site("cross-site")], false),
            (&[site("cross-site"), SAME, ours], false),
            (&[site("cross-site")], false),
            (&[site("cross-site"), ours], false),
            (&[site("same-site")], false),
            (&[site("same-site"), ours], false),
            (&[site("Same-Origin")], false),
            (&[site("same-origin, cross-site")], false),
            (&[site("")], false),
            (&[NONE], false),
            (&[NONE, NAVIGATE], false),
        ] {
            let found = is_let_in(By::Tcp, here, lines, CONSOLE);
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn without_a_console_no_page_may_call() {
        let ours = ("origin", "http://localhost");
        for lines in [&[SAME][..], &[SAME, ours], &[NONE, NAVIGATE]] {
            for by in [By::Tcp, By::Unix, By::Certificate] {
                assert!(!is_let_in(by, "localhost", lines, NOBODY), "{lines:?}");
            }
        }
        assert!(is_let_in(By::Tcp, "localhost", &[], NOBODY));
    }

    #[test]
    fn the_address_bar_opens_documents_only() {
        let cors = ("sec-fetch-mode", "cors");
        for (lines, expected) in [
            (&[NONE, NAVIGATE][..], true),
            (&[NONE], false),
            (&[NONE, cors], false),
            (&[NONE, NAVIGATE, NAVIGATE], false),
            (&[NONE, NONE, NAVIGATE], false),
            (&[NONE, NAVIGATE, ("origin", "http://localhost")], false),
            (&[("sec-fetch-site", "same-site"), NAVIGATE], false),
            (&[("sec-fetch-site", "cross-site"), NAVIGATE], false),
        ] {
            let found = is_let_in(By::Tcp, "localhost", lines, DOCUMENT);
            assert_eq!(found, expected, "{lines:?}");
        }
        assert!(!is_let_in(
            By::Tcp,
            "evil.test",
            &[NONE, NAVIGATE],
            DOCUMENT
        ));
    }

    #[test]
    fn a_name_that_points_here_is_no_loopback_name() {
        let evil = ("origin", "http://evil.test");
        let secure = ("origin", "https://evil.test");
        for (by, host, lines, expected) in [
            (By::Tcp, "evil.test", &[][..], false),
            (By::Tcp, "evil.test", &[SAME], false),
            (By::Tcp, "evil.test", &[SAME, evil], false),
            (By::Tcp, "localhost.evil.test", &[SAME], false),
            (By::Tcp, "10.0.0.1", &[], false),
            (
                By::Tcp,
                "[::1]:9090",
                &[SAME, ("origin", "http://[::1]:9090")],
                true,
            ),
            (
                By::Tcp,
                "127.0.0.1",
                &[SAME, ("origin", "http://127.0.0.1")],
                true,
            ),
            (
                By::Tcp,
                "a.localhost",
                &[SAME, ("origin", "http://a.localhost")],
                true,
            ),
            (
                By::Tls,
                "localhost",
                &[SAME, ("origin", "https://localhost")],
                true,
            ),
            (
                By::Tls,
                "localhost",
                &[SAME, ("origin", "http://localhost")],
                false,
            ),
            (By::Tls, "evil.test", &[SAME, secure], false),
            // Any program may put any name there; a browser at the other end of a tunnel names the end of it.
            (By::Unix, "any.name", &[], true),
            (
                By::Unix,
                "localhost",
                &[SAME, ("origin", "http://localhost")],
                true,
            ),
            (By::Unix, "evil.test", &[SAME], false),
            (By::Unix, "evil.test", &[SAME, evil], false),
            // The browser has checked the certificate for that name.
            (By::Certificate, "evil.test", &[], true),
            (By::Certificate, "evil.test", &[SAME, secure], true),
            (By::Certificate, "evil.test", &[SAME, evil], false),
            (By::Certificate, "gate.test", &[SAME, secure], false),
            (By::Certificate, "a b", &[SAME], false),
        ] {
            let found = is_let_in(by, host, lines, CONSOLE);
            assert_eq!(found, expected, "{host} {lines:?}");
        }
    }
}
