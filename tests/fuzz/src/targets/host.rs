//! Hosts: the Host of a request and the authority of its target, with 0xFF between them.

use http::header::HOST;
use http::{Request, Uri, Version};
use tidegate::wire::host::{HostRule, is_loopback, of_request, parse};

use crate::parts::texts;

pub fn check(data: &[u8]) -> Option<()> {
    let [text, authority] = texts(data)?;
    let host = parse(text);
    if let Some(host) = &host {
        assert_eq!(parse(&host.to_string()).as_ref(), Some(host));
        assert!(
            host.name
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
        );
        assert!(
            !host
                .name
                .contains(['@', '/', '\\', '?', '#', ',', '%', '"'])
        );
        assert_eq!(
            HostRule::parse(&host.name),
            Ok(HostRule::Exact(host.name.clone()))
        );
        assert!(!is_loopback(host) || !host.name.ends_with(".com"));
    }
    if let Ok(rule) = HostRule::parse(text) {
        let named = text.strip_prefix('.').unwrap_or(text);
        assert!(
            parse(named).is_none_or(|host| rule.matches(&host)),
            "{rule:?}"
        );
        let (below, beside) = (parse(&format!("a.{named}")), parse(&format!("a{named}")));
        assert!(
            !below.is_some_and(|host| rule.matches(&host))
                || matches!(rule, HostRule::Any | HostRule::Below(_))
        );
        assert!(!beside.is_some_and(|host| rule.matches(&host)) || rule == HostRule::Any);
    }
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for target in ["/".to_owned(), format!("http://{authority}/")] {
            let Ok(uri) = target.parse::<Uri>() else {
                continue;
            };
            let named = uri
                .authority()
                .map(|authority| authority.as_str().to_owned());
            let request = Request::builder()
                .version(version)
                .uri(uri)
                .header(HOST, text);
            let Ok(request) = request.body(()) else {
                continue;
            };
            let (parts, ()) = request.into_parts();
            if let Ok((found, written)) = of_request(&parts) {
                assert_eq!(written, text);
                assert_eq!(Some(&found), host.as_ref());
                let agrees = named.is_none_or(|named| {
                    parse(&named).is_some_and(|other| other.name == found.name)
                });
                assert!(agrees, "{authority:?}");
            }
        }
    }
    Some(())
}
