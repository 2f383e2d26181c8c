//! A gateway with one channel that anybody may hear, and who publishes to it.

use super::{Gateway, Publisher};

pub const ROUTES: &str =
    "[[route]]\npath = \"/events/\"\nsse = { channels = [\"news\"], public = true }\n";

pub const JSON: &str = "Content-Type: application/json\r\n";

pub async fn site(text: &str) -> (Gateway, Publisher) {
    let gateway = Gateway::start(&format!("{text}\n{ROUTES}")).await;
    let publisher = gateway.publisher().await;
    (gateway, publisher)
}
