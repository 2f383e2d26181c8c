//! Reading an event stream as a browser does (WHATWG HTML, 9.2.6), from pieces cut anywhere.
//!
//! Used by recording (an answer of Django becomes events), the tap, the command line and the tests. Invariants: how the
//! bytes are cut never changes what comes out, and no more than `max_event` bytes are held for one event.

/// An event as the stream dispatched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The type; `message` if the stream named none.
    pub event: String,
    /// The text, its lines joined by LF.
    pub data: String,
    /// The last event id at this place: this event's own or an earlier one's, empty if there was none yet.
    pub id: String,
    /// Whether `id` stands in this very event and is not an earlier one's.
    pub has_id: bool,
    /// The `retry:` in milliseconds that came with this event, or before it without an event.
    pub retry: Option<u64>,
}

/// An event or a line was longer than the parser may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {max} bytes")]
pub struct TooLarge {
    /// The most bytes an event may have.
    pub max: usize,
}

/// The incremental parser.
#[derive(Debug)]
pub struct Parser {
    max: usize,
    line: Vec<u8>,
    /// Data lines so far, each followed by an LF.
    data: String,
    event: String,
    /// The `id:` of the event so far.
    id: Option<String>,
    /// The last id at the last blank line: it outlives the event.
    last_id: String,
    retry: Option<u64>,
    /// A CR was the last byte: an LF now belongs to it.
    after_cr: bool,
    /// No line has ended yet: this one may begin with a byte order mark.
    first_line: bool,
    too_large: bool,
}

impl Parser {
    /// A parser at the start of a stream. `max_event` bounds the bytes held for one event, its current line included.
    pub const fn new(max_event: usize) -> Self {
        Self {
            max: max_event,
            line: Vec::new(),
            data: String::new(),
            event: String::new(),
            id: None,
            last_id: String::new(),
            retry: None,
            after_cr: false,
            first_line: true,
            too_large: false,
        }
    }

    /// Takes the next bytes and returns the events they complete. Events complete before one that is too large are
    /// still returned; the error then comes with the next call, and with every later one: what follows cannot be told
    /// apart. Ask [`Parser::too_large`] at the end of a stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Parsed>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while !self.too_large && !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
            let Some((line, [end, after @ ..])) = end.and_then(|end| rest.split_at_checked(end))
            else {
                self.hold(rest);
                break;
            };
            self.hold(line);
            if !self.too_large {
                events.extend(self.end_line());
            }
            self.after_cr = *end == b'\r';
            rest = after;
        }
        if self.too_large && events.is_empty() {
            return Err(TooLarge { max: self.max });
        }
        Ok(events)
    }

    /// The id a client would send as `Last-Event-ID` if the stream ended here.
    pub fn last_event_id(&self) -> &str {
        &self.last_id
    }

    /// The last `retry:` that no event has carried out yet, such as the one in the head of a stream.
    pub const fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Whether an event was too large, so that nothing more will come.
    pub const fn too_large(&self) -> bool {
        self.too_large
    }

    fn hold(&mut self, piece: &[u8]) {
        let held = self.line.len() + self.data.len() + self.event.len();
        if piece.len() > self.max.saturating_sub(held) {
            self.too_large = true;
            self.line = Vec::new();
            self.data = String::new();
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self) -> Option<Parsed> {
        let mut line = std::mem::take(&mut self.line);
        let bytes = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if self.first_line => rest,
            _ => &line,
        };
        self.first_line = false;
        // A line end is ASCII, so decoding line by line gives what decoding the whole stream would.
        let text = String::from_utf8_lossy(bytes);
        let parsed = if text.is_empty() {
            self.dispatch()
        } else {
            let (field, value) = text.split_once(':').unwrap_or((&text, ""));
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
            None
        };
        line.clear();
        self.line = line;
        parsed
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = value.parse().ok().or(self.retry);
            }
            // Comments (an empty field name) and fields nobody knows.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Parsed> {
        let id = self.id.take();
        let has_id = id.is_some();
        self.last_id = id.unwrap_or_else(|| std::mem::take(&mut self.last_id));
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        Some(Parsed {
            event: if event.is_empty() {
                "message".to_owned()
            } else {
                event
            },
            data,
            id: self.last_id.clone(),
            has_id,
            retry: self.retry.take(),
        })
    }
}
