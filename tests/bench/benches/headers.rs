//! `wire::headers` and `upstream::Head`: the header contract, once for each request and each answer.

use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, Criterion};
use http::{HeaderMap, Request, Response, request};
use tidegate::domain::{Epoch, EventId, Position, RequestId};
use tidegate::upstream::{Head, Rebuilt, Vouched};
use tidegate::wire::forwarded::{Forwarded, Proto};
use tidegate::wire::headers;

/// What a browser sends with a page load.
fn request() -> request::Parts {
    let request = Request::get("/accounts/profile/?tab=orders&page=2")
        .header("host", "shop.example.com")
        .header("connection", "keep-alive")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        )
        .header(
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        )
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header(
            "cookie",
            "csrftoken=0123456789abcdef0123456789abcdef; sessionid=abcdef0123456789abcdef01",
        )
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin")
        .header("x-forwarded-for", "203.0.113.9")
        .header("upgrade-insecure-requests", "1");
    request.body(()).expect("a request").into_parts().0
}

/// What Django answers.
fn answer() -> HeaderMap {
    let answer = Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .header("content-length", "5120")
        .header("connection", "keep-alive")
        .header("vary", "Cookie")
        .header("x-frame-options", "DENY")
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "same-origin")
        .header(
            "set-cookie",
            "csrftoken=0123456789abcdef; Path=/; SameSite=Lax",
        );
    answer.body(()).expect("an answer").into_parts().0.headers
}

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    let (parts, id) = (request(), RequestId::from_random(7));
    let cursor = EventId {
        epoch: Epoch::from_random(7),
        position: Position::after(1042),
    };
    let forwarded = Forwarded {
        client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        chain: "203.0.113.9".to_owned(),
        proto: Proto::Https,
        host: "shop.example.com".to_owned(),
        port: 443,
    };
    group.bench_function("a request is rebuilt", |bencher| {
        let target = || parts.uri.path_and_query().cloned().expect("a path");
        let taken = || (parts.method.clone(), target(), parts.headers.clone());
        let rebuild = |(method, target, headers)| {
            let head = Head::rebuild(method, target, headers, "shop.example.com");
            let (forwarded, id) = (forwarded.clone(), id.clone());
            let vouched = Vouched {
                forwarded,
                id,
                id_header: headers::REQUEST_ID,
                cursor,
            };
            {
                let vouched = Some(vouched);
                Rebuilt { head, vouched }.into_head()
            }
        };
        bencher.iter_batched(taken, rebuild, BatchSize::SmallInput);
    });
    group.bench_function("a request is stripped", |bencher| {
        let headers = || parts.headers.clone();
        bencher.iter_batched_ref(headers, headers::strip_request, BatchSize::SmallInput);
    });
    let answer = answer();
    group.bench_function("an answer is stripped", |bencher| {
        let headers = || answer.clone();
        bencher.iter_batched_ref(headers, headers::strip_response, BatchSize::SmallInput);
    });
    group.finish();
}
