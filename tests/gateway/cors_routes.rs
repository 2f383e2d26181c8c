//! Pages of other origins, on routes that are no streams: the route's rules stand in place of what Django says.

use crate::support::{Answer, Backend, Conn, Gateway, Reply, gateway};

const APP: &str = "Origin: https://app.test\r\n";
const STRANGER: &str = "Origin: https://stranger.test\r\n";
const ASKS: &str = "Access-Control-Request-Method: PUT\r\n";

async fn site() -> (Gateway, Backend) {
    let backend = Backend::start(|_| {
        let lines = "Access-Control-Allow-Origin: *\r\nVary: Cookie\r\n";
        Reply::answer("200 OK", lines, "page")
    })
    .await;
    let cors = "cors = { origins = [\"https://app.test\"], credentials = true }";
    let text = format!(
        "{}\
         [[route]]\npath = \"/api/<path:rest>\"\nproxy = \"django\"\n{cors}\n\
         basic_auth = {{ users = [\"ann:{}\"] }}\n\
         [[route]]\npath = \"/data/<path:rest>\"\nproxy = \"django\"\n{cors}\n\
         [[route]]\npath = \"/fixed/\"\nrespond = {{ body = \"x\" }}\n{cors}\n\
         [[route]]\npath = \"/live/\"\nsse = {{ channels = [\"news\"], public = true }}\n{cors}\n{}",
        gateway::upstream(&backend.address, ""),
        bcrypt::hash("x", 4).unwrap(),
        gateway::PROXY,
    );
    (Gateway::start(&text).await, backend)
}

async fn send(gateway: &Gateway, line: &str, lines: &str) -> Answer {
    let mut conn = Conn::open(&gateway.public).await;
    conn.ask(format!("{line} HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n"))
        .await
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn the_route_says_who_may_read_in_place_of_django() {
    let (gateway, _backend) = site().await;
    let answer = send(&gateway, "GET /data/x", APP).await;
    assert_eq!(
        (answer.status, allowed(&answer)),
        (200, Some("https://app.test"))
    );
    let credentials = answer.header("access-control-allow-credentials");
    assert_eq!(credentials, Some("true"));
    assert_eq!(answer.all("vary").collect::<Vec<_>>(), ["Cookie", "Origin"]);
    let stranger = send(&gateway, "GET /data/x", STRANGER).await;
    assert_eq!((stranger.status, allowed(&stranger)), (200, None));
    let fixed = send(&gateway, "GET /fixed/", APP).await;
    assert_eq!(allowed(&fixed), Some("https://app.test"));
    // Without rules Django's word stands.
    let other = send(&gateway, "GET /other", STRANGER).await;
    assert_eq!(allowed(&other), Some("*"));
}

#[tokio::test]
async fn a_preflight_is_answered_here_and_needs_no_login() {
    let (gateway, backend) = site().await;
    for target in ["/data/x", "/api/x"] {
        let answer = send(
            &gateway,
            &format!("OPTIONS {target}"),
            &format!("{APP}{ASKS}"),
        )
        .await;
        assert_eq!(
            (answer.status, allowed(&answer)),
            (204, Some("https://app.test"))
        );
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("PUT") && methods.contains("DELETE"));
    }
    let fixed = send(&gateway, "OPTIONS /fixed/", &format!("{APP}{ASKS}")).await;
    let methods = fixed.header("access-control-allow-methods");
    assert_eq!(methods, Some("GET, HEAD"));
    // A refusal can be read as well: the page would take it for a lost network.
    let refused = send(&gateway, "GET /api/x", APP).await;
    assert_eq!(
        (refused.status, allowed(&refused)),
        (401, Some("https://app.test"))
    );
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_stream_may_be_told_in_either_place() {
    let (gateway, _backend) = site().await;
    let answer = send(&gateway, "DELETE /live/", APP).await;
    assert_eq!(
        (answer.status, allowed(&answer)),
        (405, Some("https://app.test"))
    );
}
