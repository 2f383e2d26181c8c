//! The task against a scripted Redis on a loopback port: what it says, what it hears, and what becomes of an outage.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::rules::{Heard, Rules};
use super::*;
use crate::base::metrics::Registry;
use crate::domain::{ByteSize, ChannelName, Epoch, Event, Position};
use crate::history::{self, Kept, Log, Reach};
use crate::routes::ChannelTemplate;
use crate::wire::redis::Format;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn rule(channel: &str, format: Format, to: &str) -> Listen {
    Listen {
        channel: channel.into(),
        format,
        to: ChannelTemplate::of_fields(to).unwrap(),
    }
}

fn settings(url: &str, listen: Vec<Listen>) -> Settings {
    let address = Address::parse(url).unwrap();
    Settings {
        pauses: (Duration::from_millis(1), Duration::from_millis(10)),
        ..Settings::new(address, listen, ByteSize::kib(4))
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

/// One end of a connection, as Redis has it.
struct Served(BufReader<TcpStream>);

impl Served {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        Self(BufReader::new(stream))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }

    /// The next command, its words with blanks between them; empty at the end of the connection.
    async fn command(&mut self) -> String {
        let head = self.line().await;
        let count = head
            .strip_prefix('*')
            .map_or(0, |count| count.parse().unwrap());
        let mut words = Vec::new();
        for _ in 0..count {
            let length: usize = self.line().await[1..].parse().unwrap();
            let mut word = vec![0; length + 2];
            self.0.read_exact(&mut word).await.unwrap();
            word.truncate(length);
            words.push(String::from_utf8(word).unwrap());
        }
        words.join(" ")
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn say_words(&mut self, words: &[&str]) {
        let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let words_as_written: String = words.iter().map(bulk).collect();
        self.say(&format!("*{}\r\n{words_as_written}", words.len()))
            .await;
    }

    /// Answers the next command, a subscription to these.
    async fn subscribe(&mut self, command: &str, names: &[&str]) {
        let said = self.command().await;
        let mut words: Vec<_> = said.split(' ').collect();
        assert_eq!(words.remove(0), command.to_uppercase());
        words.sort_unstable();
        assert_eq!(words, names);
        for (i, name) in names.iter().enumerate() {
            let length = name.len();
            let kind = format!("${}\r\n{command}\r\n", command.len());
            self.say(&format!(
                "*3\r\n{kind}${length}\r\n{name}\r\n:{}\r\n",
                i + 1
            ))
            .await;
        }
    }
}

struct Here {
    hub: Hub,
    registry: Registry,
}

impl Here {
    fn new() -> Self {
        let registry = Registry::default();
        let log = Log::new(
            history::Settings::default(),
            Epoch::from_random(7),
            &registry,
        );
        Self {
            hub: Hub::new(log, &registry),
            registry,
        }
    }

    fn start(&self, settings: Settings) -> Subscriber {
        Subscriber::start(settings, self.hub.clone(), &self.registry)
    }

    fn kept(&self, name: &str) -> Vec<Kept> {
        let page = self.hub.log().history(&channel(name), None, 100);
        page.unwrap().0
    }

    /// Waits until a line of the metrics is there.
    async fn metric(&self, line: &str) {
        let line = format!("tidegate_{line}\n");
        let is_there = async {
            while !self.registry.text().contains(&line) {
                tokio::task::yield_now().await;
            }
        };
        let found = timeout(PATIENCE, is_there).await;
        assert!(found.is_ok(), "{line} in {}", self.registry.text());
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn messages_are_published_by_their_rules() {
    let (listener, url) = listener().await;
    let here = Here::new();
    let rules = vec![
        rule("sse", Format::DjangoSse, "{channel}"),
        rule("push", Format::Json, "user-{recipient_id}"),
        rule("push", Format::Json, "all"),
        rule("room:*", Format::DjangoSse, "{channel}"),
    ];
    let subscriber = here.start(settings(&url.replace("//", "//ann:secret@"), rules));
    let mut redis = Served::accept(&listener).await;
    assert_eq!(redis.command().await, "AUTH ann secret");
    redis.say("+OK\r\n").await;
    redis.subscribe("subscribe", &["push", "sse"]).await;
    redis.subscribe("psubscribe", &["room:*"]).await;
    here.metric("redis_connected 1").await;
    redis.say_words(&["message", "sse", r#"["a", "1"]"#]).await;
    redis
        .say_words(&["message", "push", r#"{"recipient_id": 7}"#])
        .await;
    redis
        .say_words(&["pmessage", "room:*", "room:tea", r#"["b", "2"]"#])
        .await;
    redis
        .say_words(&["pmessage", "room:*", "room: ", r#"["b", "2"]"#])
        .await;
    redis.say_words(&["message", "push", "{}"]).await;
    redis.say_words(&["message", "push", "nonsense"]).await;
    here.metric("redis_messages_total 6").await;
    here.metric("redis_dropped_total{reason=\"not-json\"} 2")
        .await;
    here.metric("redis_dropped_total{reason=\"no-field\"} 1")
        .await;
    here.metric("redis_dropped_total{reason=\"no-channel\"} 1")
        .await;
    let frame = |name: &str| {
        let kept = here.kept(name);
        String::from_utf8(kept[0].frame.as_bytes().to_vec()).unwrap()
    };
    assert!(frame("sse").starts_with("event: a\n") && frame("sse").ends_with("data: 1\n\n"));
    assert!(frame("user-7").ends_with("data: {\"recipient_id\": 7}\n\n"));
    assert!(frame("room:tea").starts_with("event: b\n"));
    assert_eq!(here.kept("all").len(), 2);
    subscriber.stop(PATIENCE).await;
    assert_eq!(redis.command().await, "");
}

#[tokio::test]
async fn an_outage_puts_the_channels_in_doubt_and_nothing_else() {
    let (listener, url) = listener().await;
    let here = Here::new();
    let subscriber = here.start(settings(&url, vec![rule("a", Format::Json, "user-{id}")]));
    let mut redis = Served::accept(&listener).await;
    redis.subscribe("subscribe", &["a"]).await;
    redis.say_words(&["message", "a", r#"{"id": 1}"#]).await;
    here.metric("redis_messages_total 1").await;
    let before = here.hub.log().position();
    drop(redis);
    here.metric("redis_connected 0").await;
    // It lets us in, but not subscribe: that is no connection.
    let mut redis = Served::accept(&listener).await;
    assert_eq!(redis.command().await, "SUBSCRIBE a");
    redis.say("-NOPERM no\r\n").await;
    let mut redis = Served::accept(&listener).await;
    redis.subscribe("subscribe", &["a"]).await;
    redis.say_words(&["message", "a", r#"{"id": 2}"#]).await;
    here.metric("redis_messages_total 2").await;
    here.metric("redis_reconnects_total 1").await;
    let log = here.hub.log();
    assert!(log.has_gap(&[channel("user-1")], before, &Reach::default()));
    assert!(!log.has_gap(&[channel("other")], before, &Reach::default()));
    assert!(!log.has_gap(&[channel("user-2")], before.next(), &Reach::default()));
    assert!(
        !log.is_whole_since(before, &Reach::default())
            && log.is_whole_since(before.next(), &Reach::default())
    );
    assert_eq!(here.kept("user-2")[0].place.position, before.next().next());
    subscriber.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_says_nothing_is_given_up() {
    let (listener, url) = listener().await;
    let here = Here::new();
    let settings = Settings {
        pulse: Duration::from_millis(100),
        ..settings(&url, vec![rule("a", Format::Json, "a")])
    };
    let subscriber = here.start(settings);
    let mut redis = Served::accept(&listener).await;
    redis.subscribe("subscribe", &["a"]).await;
    assert_eq!(redis.command().await, "PING");
    // Answered once; held, and silent from now on.
    redis.say("*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    let mut again = Served::accept(&listener).await;
    again.subscribe("subscribe", &["a"]).await;
    here.metric("redis_reconnects_total 1").await;
    subscriber.stop(PATIENCE).await;
    drop(redis);
}

#[tokio::test]
async fn nobody_there_is_no_error_and_the_end_comes_at_once() {
    let (listener, url) = listener().await;
    drop(listener);
    let here = Here::new();
    let subscriber = here.start(settings(&url, vec![rule("a", Format::Json, "a")]));
    here.metric("redis_connected 0").await;
    subscriber.stop(PATIENCE).await;
    assert_eq!(here.hub.log().position(), Position::START);
}

#[tokio::test]
async fn more_than_there_is_room_for_arrives_whole_and_in_order() {
    let (listener, url) = listener().await;
    let here = Here::new();
    let subscriber = here.start(settings(&url, vec![rule("a", Format::Json, "a")]));
    let mut redis = Served::accept(&listener).await;
    redis.subscribe("subscribe", &["a"]).await;
    let padding = "x".repeat(2000);
    for n in 0..500 {
        let text = format!(r#"{{"n": {n}, "padding": "{padding}"}}"#);
        redis.say_words(&["message", "a", &text]).await;
    }
    // Longer than any event may be, and than the room.
    let long = "x".repeat(2 * paced::ROOM);
    redis.say_words(&["message", "a", &long]).await;
    redis.say_words(&["message", "a", r#"{"n": "last"}"#]).await;
    here.metric("redis_messages_total 502").await;
    here.metric("redis_dropped_total{reason=\"too-large\"} 1")
        .await;
    let (last, _) = here.hub.log().history(&channel("a"), None, 1000).unwrap();
    let numbers = last
        .windows(2)
        .map(|two| two[1].place.position.seq() - two[0].place.position.seq());
    assert!(numbers.into_iter().all(|step| step == 1));
    here.metric("events_published_total 501").await;
    subscriber.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_sentinel_names_the_master() {
    let (master, url) = listener().await;
    let (sentinel, at) = listener().await;
    let (closed, nobody) = listener().await;
    drop(closed);
    let sentinels = format!(
        "{},{}",
        nobody.replace("redis://", ""),
        at.replace("redis://", "")
    );
    let url_of = format!("redis+sentinel://:secret@{sentinels}/mymaster");
    let here = Here::new();
    let subscriber = here.start(settings(&url_of, vec![rule("a", Format::Json, "a")]));
    let mut asked = Served::accept(&sentinel).await;
    assert_eq!(
        asked.command().await,
        "SENTINEL get-master-addr-by-name mymaster"
    );
    let (host, port) = url
        .strip_prefix("redis://")
        .unwrap()
        .split_once(':')
        .unwrap();
    asked.say_words(&[host, port]).await;
    let mut redis = Served::accept(&master).await;
    assert_eq!(redis.command().await, "AUTH secret");
    redis.say("+OK\r\n").await;
    redis.subscribe("subscribe", &["a"]).await;
    here.metric("redis_connected 1").await;
    subscriber.stop(PATIENCE).await;
}

#[test]
fn each_rule_makes_its_own_of_a_message() {
    let registry = Registry::default();
    let rules = vec![
        rule("events", Format::DjangoEventstream, "{channel}"),
        rule("user:*", Format::Json, "{channel}"),
        rule("one", Format::Json, "x-{channel}"),
    ];
    let settings = settings("redis://x", rules);
    let rules = Rules::new(&settings, &registry);
    let taken = |pattern: Option<&str>, channel: &str, payload: &str| {
        let mut events: Vec<Event> = Vec::new();
        let heard = Heard {
            pattern: pattern.map(str::as_bytes),
            channel: channel.as_bytes(),
            payload: payload.as_bytes(),
        };
        rules.take(heard, &mut events);
        let names = events.iter().flat_map(|event| &event.channels);
        names.map(ToString::to_string).collect::<Vec<_>>()
    };
    let event = r#"{"channel": "room", "event_type": "message", "data": "1", "pub_id": "3"}"#;
    assert_eq!(taken(None, "events", event), ["room"]);
    // Where there are many channels in Redis, theirs counts; where there is one, the field.
    assert_eq!(
        taken(Some("user:*"), "user:1", r#"{"channel": "2"}"#),
        ["user:1"]
    );
    assert_eq!(taken(None, "one", r#"{"channel": "2"}"#), ["x-2"]);
    assert_eq!(taken(None, "one", "{}"), [""; 0]);
    assert_eq!(taken(None, "unknown", "{}"), [""; 0]);
    let reach: Vec<_> = rules
        .reach()
        .iter()
        .map(|one| one.as_str().to_owned())
        .collect();
    assert_eq!(reach, ["*", "x-*"]);
    let fixed = rule("sse", Format::DjangoSse, "a-{channel}");
    assert_eq!(fixed.reach().as_str(), "a-sse");
}
