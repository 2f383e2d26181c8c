//! The internal API as one table, and the OpenAPI 3.1 document made of it.
//!
//! `internal` finds its endpoints and checks its parameters by [`OPERATIONS`], and serves [`document`] as `/openapi.json`:
//! so the document cannot name a path, a method or a parameter that is not served, nor leave one out. That the answers are
//! as it says is tested with a whole gateway (`tests/gateway/openapi.rs`).

mod objects;
mod operations;
mod schema;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::problem::{self, Problem};
pub use operations::OPERATIONS;
use schema::{Schema, with};

/// Where the metrics are, unless the file names another path.
pub const METRICS: &str = "/metrics";
/// What answers unless the file says otherwise.
pub const HERE: &str = "/";

/// What can be done on a path. `HEAD` is a `GET` of which the head is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Look.
    Get,
    /// Do.
    Post,
    /// Take away.
    Delete,
}

impl Verb {
    /// The verb of a method; `None` for one that no path knows.
    pub fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    const fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One method on one path.
#[derive(Debug)]
pub struct Operation {
    /// The method.
    pub verb: Verb,
    /// The path, `{channel}` standing for the name of one.
    pub path: &'static str,
    /// Its name for programs.
    id: &'static str,
    /// What it does.
    about: &'static str,
    /// Who may.
    access: Access,
    /// What may stand in the query.
    pub parameters: &'static [Parameter],
    /// Headers that change what it does.
    headers: &'static [Parameter],
    body: Option<Body>,
    answers: &'static [Answer],
    /// The refusals beside those of its access.
    problems: &'static [fn(String) -> Problem],
}

/// Who may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everybody.
    All,
    /// Everybody but, without tokens, a web page other than the console.
    NoPage,
    /// Whoever shows a token; without tokens, everybody but a web page other than the console.
    Token,
    /// As before, or whoever signs the request.
    Signed,
}

/// A parameter of the query, or a header.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    about: &'static str,
    schema: Schema,
    /// Whether it may be there more than once.
    pub repeats: bool,
}

/// Each type that a body may be of, and what is in it then.
type Content = &'static [(&'static str, Schema)];

/// What is sent.
#[derive(Debug, Clone, Copy)]
struct Body {
    about: &'static str,
    content: Content,
}

/// What comes back if all is well, or nearly.
#[derive(Debug)]
struct Answer {
    status: u16,
    about: &'static str,
    content: Content,
    /// A header that may be there.
    header: Option<&'static Parameter>,
}

/// The verbs of a path.
pub fn verbs(path: &str) -> impl Iterator<Item = Verb> {
    let of_path = OPERATIONS
        .iter()
        .filter(move |operation| operation.path == path);
    of_path.map(|operation| operation.verb)
}

/// What the header `Allow` says for a path.
pub fn allowed(path: &str) -> String {
    let verbs: Vec<_> = verbs(path).map(Verb::allowed).collect();
    verbs.join(", ")
}

/// The parameters of an operation; none if there is no such operation.
pub fn parameters(verb: Verb, path: &str) -> &'static [Parameter] {
    let same = |operation: &&Operation| operation.verb == verb && operation.path == path;
    let operation = OPERATIONS.iter().find(same);
    operation.map_or(&[], |operation| operation.parameters)
}

/// The document, OpenAPI 3.1, with `metrics` in the place of [`METRICS`], and with [`HERE`] if it answers.
pub fn document(metrics: &str, here: bool) -> Bytes {
    let mut paths: Map<String, Value> = Map::new();
    for operation in &OPERATIONS {
        let place = match operation.path {
            METRICS => metrics,
            HERE if !here => continue,
            path => path,
        };
        let path = paths.remove(place).unwrap_or_else(|| json!({}));
        let path = with(path, operation.verb.key(), operation.to_json());
        paths.insert(place.to_owned(), path);
    }
    let named = |object: &&schema::Object| (object.name.to_owned(), object.to_json());
    let schemas: Map<_, _> = objects::ALL.iter().map(named).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate, the internal API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
        },
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of `[publish] tokens`. Without any the listener is private to the machine.",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks, by the `webhook` secret of one of `[publish] tokens`, with `webhook-id` \
                                    and `webhook-timestamp` beside it. Not for a stream of lines.",
                },
            },
        },
    });
    document.to_string().into()
}

const ABOUT: &str = "What an internal listener of the gateway serves. HEAD is answered wherever GET is. A path that is \
    not here gets 404 `not-found`, a method that is not here 405 `method-not-allowed` with `Allow`; a path whose channel \
    is no name gets 422 `invalid-field`. A request that is no HTTP at all never gets this far.";

impl Operation {
    fn to_json(&self) -> Value {
        let mut written = json!({
            "operationId": self.id,
            "summary": self.about,
            "responses": self.responses(),
        });
        match self.access {
            Access::All | Access::NoPage => written = with(written, "security", json!([])),
            Access::Signed => {
                let security = json!([{ "token": [] }, { "signature": [] }, {}]);
                written = with(written, "security", security);
            }
            Access::Token => {}
        }
        let headers = self.headers.iter().map(|one| one.to_json("header"));
        let parameters = self.parameters.iter().map(|one| one.to_json("query"));
        let parameters = parameters.chain(headers);
        let channel = self.has_channel().then(channel);
        let parameters: Vec<_> = channel.into_iter().chain(parameters).collect();
        if !parameters.is_empty() {
            written = with(written, "parameters", parameters);
        }
        let Some(body) = self.body else {
            return written;
        };
        let content = contents(body.content);
        let body = json!({ "description": body.about, "required": true, "content": content });
        with(written, "requestBody", body)
    }

    fn has_channel(&self) -> bool {
        self.path.contains("{channel}")
    }

    /// Every refusal, by status.
    fn problems(&self) -> Vec<Problem> {
        let access: &[fn(String) -> Problem] = match self.access {
            Access::All => &[],
            Access::NoPage => &[Problem::forbidden],
            Access::Token | Access::Signed => &[Problem::unauthorized, Problem::forbidden],
        };
        let name: &[fn(String) -> Problem] = &[Problem::invalid_field];
        let name = if self.has_channel() { name } else { &[] };
        let all = access.iter().chain(name).chain(self.problems);
        let mut problems: Vec<_> = all.map(|problem| problem(String::new())).collect();
        problems.sort_unstable_by_key(|problem| (problem.status, problem.code));
        problems.dedup();
        problems
    }

    fn responses(&self) -> Map<String, Value> {
        let good = self.answers.iter().map(|answer| {
            let content = contents(answer.content);
            let response = json!({ "description": answer.about, "content": content });
            let response = match answer.header {
                Some(header) => with(response, "headers", header.as_header()),
                None => response,
            };
            (answer.status.to_string(), response)
        });
        let problems = self.problems();
        let refused = problems
            .chunk_by(|a, b| a.status == b.status)
            .filter_map(|same| Some((same.first()?.status.as_str().to_owned(), refusal(same))));
        good.chain(refused).collect()
    }
}

fn contents(content: Content) -> Map<String, Value> {
    let content = content.iter().map(|(media, schema)| {
        let content = json!({ "schema": schema.to_json() });
        ((*media).to_owned(), content)
    });
    content.collect()
}

/// The refusals of one status.
fn refusal(problems: &[Problem]) -> Value {
    let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    let titles: Vec<_> = problems.iter().map(|problem| problem.title).collect();
    let schema = json!({ "allOf": [
        Schema::Of(&objects::PROBLEM).to_json(),
        { "properties": { "code": { "enum": codes } } },
    ] });
    let response = json!({
        "description": titles.join("; "),
        "content": { problem::CONTENT_TYPE: { "schema": schema } },
    });
    let header = match problems.first().map(|problem| problem.status) {
        Some(StatusCode::UNAUTHORIZED) => ("WWW-Authenticate", Schema::OneOf(&["Bearer"])),
        Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            ("Retry-After", Schema::Count)
        }
        _ => return response,
    };
    let headers = json!({ header.0: { "required": true, "schema": header.1.to_json() } });
    with(response, "headers", headers)
}

impl Parameter {
    fn to_json(&self, place: &str) -> Value {
        let schema = if self.repeats {
            json!({ "type": "array", "items": self.schema.to_json() })
        } else {
            self.schema.to_json()
        };
        json!({ "name": self.name, "in": place, "description": self.about, "schema": schema })
    }

    fn as_header(&self) -> Value {
        let about = json!({ "description": self.about, "schema": self.schema.to_json() });
        json!({ self.name: about })
    }
}

fn channel() -> Value {
    let about = "The name of a channel. A `/` in it may stand as it is, but in a name that ends in `/events` or \
                 `/streams`, whose last one must be written `%2F`.";
    json!({
        "name": "channel",
        "in": "path",
        "required": true,
        "description": about,
        "schema": objects::CHANNEL.to_json(),
    })
}
