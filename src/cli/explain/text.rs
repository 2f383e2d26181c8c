//! What `explain` says, for people: a name at the left, what is to be said at the right.

use super::told::{Answer, Answering, Named, Sent, Told};

/// How wide the names are.
const WIDTH: usize = 11;

/// What is never passed on, whoever says it.
pub(super) const NEVER: [&str; 2] = [
    "Forwarded, X-Forwarded-*, X-Real-IP, X-Request-ID, X-Scheme, X-Sendfile, X-Accel-*, SSE-*, Grip-*",
    "Proxy, hop-by-hop headers, and every name with a _",
];

/// The lines.
pub(super) fn of(told: &Told) -> String {
    let mut text = Text(String::new());
    let request = &told.request;
    let over = if request.tls { ", over TLS" } else { "" };
    text.line("request", &format!("{} {}", request.method, request.target));
    text.line(
        "",
        &format!(
            "by listen.{}{over}, from {}",
            request.listener, request.from
        ),
    );
    if let Some(note) = request.note {
        text.line("", note);
    }
    let name = told.host.name.as_deref().unwrap_or("none");
    let served = if told.host.served {
        "is served"
    } else {
        "is not served (server.hosts)"
    };
    text.line("host", &format!("{name} {served}"));
    if let Some(route) = &told.route {
        text.route(route);
    }
    let mut label = "also fits";
    for other in &told.also_fits {
        text.line(label, &format!("{}, but stands later", named(other)));
        label = "";
    }
    if let Some(instead) = &told.instead {
        text.answer("gets", instead);
        text.line("", "Without that:");
    }
    if let Some(answer) = &told.answer {
        text.answer("answer", answer);
    }
    if let Some(sent) = &told.sent {
        text.sent(sent);
    }
    text.0
}

fn named(route: &Named) -> String {
    let line = route
        .line
        .map_or_else(String::new, |line| format!(" (line {line})"));
    format!("{}{line}: {:?}, {}", route.number, route.path, route.kind)
}

struct Text(String);

impl Text {
    /// One line. What the request says is foreign text, and must not command the terminal.
    fn line(&mut self, name: &str, said: &str) {
        let said = said.replace(char::is_control, "?");
        let line = format!("{name:WIDTH$}{said}");
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn route(&mut self, route: &Answering) {
        self.line("route", &named(&route.named));
        for (name, value) in &route.parameters {
            self.line("", &format!("{name} = {value:?}"));
        }
        let settings = route.text.lines().filter(|line| !line.is_empty());
        let mut label = "settings";
        for line in settings.skip_while(|line| line.starts_with("[[") || line.starts_with("path")) {
            self.line(label, line);
            label = "";
        }
    }

    fn answer(&mut self, name: &str, answer: &Answer) {
        let why = answer.why.as_deref().unwrap_or_default();
        self.line(name, &format!("{} {why}", answer.status));
        if let Some(file) = &answer.file {
            self.line("file", file);
        }
        if !answer.channels.is_empty() {
            self.line("channels", &answer.channels.join(", "));
        }
        for header in &answer.headers {
            self.line("", &format!("{}: {}", header.name, header.value));
        }
    }

    fn sent(&mut self, sent: &Sent) {
        let servers = sent.servers.join(", ");
        self.line(
            "upstream",
            &format!("{} ({servers}): {}", sent.upstream, sent.purpose),
        );
        self.line("body", &sent.body);
        self.line("sent", &sent.line);
        for header in &sent.headers {
            let ours = if header.ours { "+ " } else { "  " };
            self.line("", &format!("{ours}{}: {}", header.name, header.value));
        }
        self.line("", "(+ is said by the gateway)");
        let removed = match &*sent.removed {
            [] => "nothing of this request".to_owned(),
            names => names.join(", "),
        };
        self.line("removed", &removed);
        let [some, others] = NEVER;
        self.line("", &format!("(always: {some},"));
        self.line("", &format!("{others})"));
    }
}
