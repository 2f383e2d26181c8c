//! What makes two requests ask for the same recording.
//!
//! A tuple of everything that the view's answer may depend on, never a joined string. Too much in it costs a second
//! request to Django, too little would show one person what is another's.

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Per;
use crate::upstream::Head;
use crate::wire::last_event_id::IN_QUERY;
use crate::wire::{cookies, forwarded, headers, query};

/// Where credentials are beside cookies: the one that browsers send, and the two that APIs have made up.
const CREDENTIALS: [HeaderName; 3] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-auth-token"),
];

/// One recording's name in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Who is asked: a reload may lead the same path elsewhere.
    upstream: String,
    method: Method,
    /// As the client spelled it.
    path: String,
    /// As Django is sent it.
    sent: String,
    /// Without where the client was.
    query: String,
    /// Whether a page is asked for: a view may answer both under one URL.
    page: bool,
    /// Host and scheme, and the host that a trusted proxy names.
    site: [Vec<HeaderValue>; 3],
    who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Everybody,
    /// The value of the session cookie, and the origin.
    Session(Box<[u8]>, Vec<HeaderValue>),
    /// All cookies and credentials, and the origin: the CORS headers of an answer may name it, and are passed on to who
    /// joins.
    Credentials {
        cookies: Vec<HeaderValue>,
        credentials: [Vec<HeaderValue>; 3],
        origin: Vec<HeaderValue>,
    },
    /// The value of the session cookie, or all cookies where there is none, and all credentials. A page sends its origin with
    /// a POST and none with a GET, so it is no part.
    Poster(Result<Box<[u8]>, Vec<HeaderValue>>, [Vec<HeaderValue>; 3]),
}

impl Key {
    /// `place` are the upstream's name and the path as the client spelled it.
    pub(super) fn of(
        head: &Head,
        place: (&str, &str),
        per: Per,
        session_cookie: Option<&str>,
    ) -> Self {
        let all = |name: &HeaderName| values(&head.headers, name);
        let session = session_cookie.and_then(|name| cookies::value(&head.headers, name));
        let who = match (per, session) {
            (Per::All, _) => Who::Everybody,
            (Per::User, Some(session)) => Who::Session(session.into(), all(&ORIGIN)),
            (Per::User, None) | (Per::Credentials, _) => Who::Credentials {
                cookies: all(&COOKIE),
                credentials: CREDENTIALS.each_ref().map(all),
                origin: all(&ORIGIN),
            },
        };
        let page = headers::accepts_a_page(&head.headers);
        Self::new(head, place, (Method::GET, page), who)
    }

    /// That of the answers to a person's POSTs, for such a POST and for a GET that asks for the rest of an answer. `None` if
    /// the request has nothing that only one person knows: another could ask for the rest as well.
    pub(super) fn of_post(
        head: &Head,
        place: (&str, &str),
        session_cookie: Option<&str>,
    ) -> Option<Self> {
        let session = session_cookie.and_then(|name| cookies::value(&head.headers, name));
        let session = session.filter(|session| !session.is_empty());
        let credentials = CREDENTIALS
            .each_ref()
            .map(|name| values(&head.headers, name));
        if session.is_none() && credentials.iter().flatten().all(HeaderValue::is_empty) {
            return None;
        }
        // A credential may be that of the page, which everybody has, and the person in a cookie of another name.
        let session = session.map(Into::into);
        let session = session.ok_or_else(|| values(&head.headers, &COOKIE));
        let who = Who::Poster(session, credentials);
        Some(Self::new(head, place, (Method::POST, false), who))
    }

    fn new(
        head: &Head,
        (upstream, path): (&str, &str),
        (method, page): (Method, bool),
        who: Who,
    ) -> Self {
        let query = head.target.query().unwrap_or_default();
        Self {
            upstream: upstream.to_owned(),
            method,
            path: path.to_owned(),
            sent: head.target.path().to_owned(),
            query: query::without(query, &IN_QUERY),
            page,
            site: [HOST, forwarded::PROTO, forwarded::HOST]
                .map(|name| values(&head.headers, &name)),
            who,
        }
    }

    /// Whether it is that of answers to POSTs: they are not shared, and the view is not asked for one again.
    pub(super) fn is_of_post(&self) -> bool {
        self.method == Method::POST
    }

    /// Whether everybody with this key is one person, who needs no permission but his own.
    pub(super) const fn is_one_person(&self) -> bool {
        !matches!(self.who, Who::Everybody)
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    headers.get_all(name).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &'static str, lines: &[(&'static str, &'static str)]) -> Head {
        let lines = lines.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Head {
            method: Method::GET,
            target: target.parse().unwrap(),
            headers: lines.collect(),
        }
    }

    fn key(target: &'static str, lines: &[(&'static str, &'static str)], per: Per) -> Key {
        let head = head(target, lines);
        Key::of(
            &head,
            ("django", head.target.path()),
            per,
            Some("sessionid"),
        )
    }

    #[test]
    fn where_a_client_was_is_no_part_of_what_it_asks_for() {
        let plain = key("/a?b=c", &[], Per::Credentials);
        let lines: &[_] = &[("last-event-id", "7"), ("user-agent", "x")];
        assert_eq!(key("/a?b=c&lastEventId=3", lines, Per::Credentials), plain);
        assert_eq!(key("/a?last-event-id&b=c", &[], Per::Credentials), plain);
        for other in ["/a", "/a?b=d", "/b?b=c", "/a?b=c&b=c", "/a%3Fb=c"] {
            assert_ne!(key(other, &[], Per::Credentials), plain, "{other}");
        }
    }

    #[test]
    fn two_routes_are_two_paths_also_where_django_is_sent_the_same() {
        let key = |path| Key::of(&head("/a", &[]), ("django", path), Per::All, None);
        assert_ne!(key("/one/a"), key("/two/a"));
    }

    #[test]
    fn a_path_that_a_reload_leads_elsewhere_is_another_one() {
        let key = |upstream, sent| Key::of(&head(sent, &[]), (upstream, "/a/b"), Per::All, None);
        assert_ne!(key("django", "/a/b"), key("other", "/a/b"));
        assert_ne!(key("django", "/a/b"), key("django", "/b"));
        assert_eq!(key("django", "/a/b?lastEventId=1"), key("django", "/a/b"));
    }

    #[test]
    fn whatever_may_tell_people_apart_does() {
        let per = Per::Credentials;
        let base = key("/a", &[("cookie", "sessionid=x; t=1")], per);
        for other in [
            &[][..],
            &[("cookie", "sessionid=x; t=2")],
            &[
                ("cookie", "sessionid=x; t=1"),
                ("authorization", "Bearer a"),
            ],
            &[("cookie", "sessionid=x; t=1"), ("x-api-key", "a")],
            &[("cookie", "sessionid=x; t=1"), ("origin", "https://b.test")],
            &[("cookie", "sessionid=x; t=1"), ("host", "b.test")],
            &[("cookie", "sessionid=x; t=1"), ("accept", "text/html")],
            &[("authorization", "sessionid=x; t=1")],
        ] {
            assert_ne!(key("/a", other, per), base, "{other:?}");
        }
    }

    #[test]
    fn a_user_is_his_session_and_without_one_his_credentials() {
        let of = |cookie| key("/a", &[("cookie", cookie)], Per::User);
        assert_eq!(of("sessionid=x; t=1"), of("t=2; sessionid=\"x\""));
        assert_ne!(of("sessionid=x"), of("sessionid=y"));
        assert_ne!(of("t=1"), of("t=2"));
        assert_ne!(of("sessionid="), of(""));
        assert!(of("sessionid=x").is_one_person());
        let all = |cookie| key("/a", &[("cookie", cookie)], Per::All);
        assert!(all("a") == all("b") && !all("a").is_one_person());
    }

    #[test]
    fn the_rest_of_an_answer_to_a_post_is_for_who_knows_what_only_its_sender_does() {
        let of = |lines: &[_]| {
            let head = head("/a?b=c&last-event-id=3", lines);
            Key::of_post(&head, ("django", head.target.path()), Some("sessionid"))
        };
        let own = of(&[("cookie", "sessionid=x; t=1"), ("origin", "https://a.test")]);
        assert!(
            own.as_ref()
                .is_some_and(|key| key.is_one_person() && key.is_of_post())
        );
        assert_eq!(of(&[("cookie", "t=2; sessionid=x")]), own);
        for nobody in [
            &[][..],
            &[("cookie", "t=1")],
            &[("cookie", "sessionid=")],
            &[("authorization", "")],
        ] {
            assert_eq!(of(nobody), None, "{nobody:?}");
        }
        let others = [
            &[("cookie", "sessionid=y")][..],
            &[("cookie", "sessionid=x"), ("x-api-key", "k")],
            &[("cookie", "sessionid=x"), ("host", "b.test")],
            &[("authorization", "Bearer x")],
        ];
        for other in others {
            assert!(
                of(other).is_some_and(|key| Some(&key) != own.as_ref()),
                "{other:?}"
            );
        }
        let page = |cookie| of(&[("cookie", cookie), ("x-api-key", "of-the-page")]);
        assert!(page("jwt=x").is_some() && page("jwt=x") == page("jwt=x"));
        assert_ne!(page("jwt=x"), page("jwt=y"));
    }
}
