//! A Django project, as far as a gateway in front of it wants to know.

use std::path::{Path, PathBuf};

use http::Uri;

use super::settings::{Settings, text_of};
use crate::routes::PathPattern;
use crate::wire::host::HostRule;
use crate::wire::python::Value;

/// What Django itself lets in while `ALLOWED_HOSTS` is empty and `DEBUG` is on.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The port at which gunicorn is, unless it is told another.
const DJANGO: u16 = 8000;

/// What is known of a project.
#[derive(Debug)]
pub(super) struct Project {
    /// The settings module.
    pub(super) module: String,
    /// The WSGI module.
    pub(super) wsgi: Option<String>,
    /// For `server.hosts`; empty: not known.
    pub(super) hosts: Vec<String>,
    pub(super) statics: Folder,
    pub(super) media: Folder,
    /// Whether names of static files have a hash of their content.
    pub(super) hashed: bool,
    /// Whether its answers may be held.
    pub(super) grip: Option<Grip>,
    /// Where it publishes through Redis.
    pub(super) redis: Option<Redis>,
    /// The session cookie, if it is not called as usual.
    pub(super) session_cookie: Option<String>,
    /// What was read.
    pub(super) read: Vec<PathBuf>,
    /// What is not clear, as sentences without an end.
    pub(super) doubts: Vec<String>,
}

/// Files below a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Folder {
    /// There are none.
    None,
    /// The path, as in `/static/`, and where they are.
    At(String, PathBuf),
    /// The path alone.
    Nowhere(String),
}

/// django-grip or django-eventstream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Grip {
    /// Where `GRIP_URL` leads on this machine.
    pub(super) port: Option<u16>,
    /// Whether it has a key, which the gateway then needs.
    pub(super) key: bool,
}

/// What listens to a site that publishes through Redis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redis {
    pub(super) url: String,
    /// A format of `[[redis.listen]]`.
    pub(super) format: &'static str,
    /// The channel, where the format wants one.
    pub(super) channel: Option<String>,
}

impl Folder {
    /// The path, if there are files.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::At(path, _) | Self::Nowhere(path) => Some(path),
        }
    }
}

impl Project {
    /// The project in `root`, which is canonical; `None` if there is none.
    pub(super) fn look(root: &Path) -> Option<Self> {
        let manage = text_of(&root.join("manage.py"));
        let wsgi = wsgi(root);
        if manage.is_none() && wsgi.is_none() {
            return None;
        }
        let named = |text: Option<&String>| settings_module(text?);
        let (served, managed) = (
            named(wsgi.as_ref().map(|(_, text)| text)),
            named(manage.as_ref()),
        );
        let mut doubts = Vec::new();
        if let (Some(served), Some(managed)) = (&served, &managed)
            && served != managed
        {
            doubts.push(format!(
                "wsgi.py has {served}, manage.py {managed}: the former was read"
            ));
        }
        let module = served.or(managed).unwrap_or_else(|| {
            doubts.push("DJANGO_SETTINGS_MODULE is neither in wsgi.py nor in manage.py".to_owned());
            String::new()
        });
        let settings = Settings::of(root, &module);
        for (missing, why) in settings.missing.iter().filter(|(name, _)| !name.is_empty()) {
            doubts.push(format!("the module {missing:?} was not read: {why}"));
        }
        let mut project = Self {
            wsgi: wsgi.map(|(module, _)| module),
            hosts: Vec::new(),
            statics: Folder::None,
            media: Folder::None,
            hashed: false,
            grip: None,
            redis: None,
            session_cookie: None,
            read: settings.read.clone(),
            module,
            doubts,
        };
        project.learn(root, &settings);
        Some(project)
    }

    fn learn(&mut self, root: &Path, settings: &Settings) {
        self.hosts = self.hosts(settings);
        self.statics = self.folder(root, settings, ["STATIC_URL", "STATIC_ROOT"]);
        self.media = self.folder(root, settings, ["MEDIA_URL", "MEDIA_ROOT"]);
        if self.media.path().is_some() && self.media.path() == self.statics.path() {
            self.doubts
                .push("MEDIA_URL is STATIC_URL: no route was made of it".to_owned());
            self.media = Folder::None;
        }
        let storages = settings
            .value("STORAGES")
            .and_then(|all| all.field("staticfiles"));
        let storage = storages.and_then(|storage| storage.field("BACKEND"));
        let storage = storage.or_else(|| settings.value("STATICFILES_STORAGE"));
        self.hashed = storage
            .and_then(Value::text)
            .is_some_and(|name| name.contains("Manifest"));
        let unclear = ["STORAGES", "STATICFILES_STORAGE"]
            .iter()
            .any(|name| settings.is_unclear(name));
        if !self.hashed && unclear && settings.says("Manifest") {
            self.doubt(
                "STORAGES",
                "if names have a hash, add hashed = \"1y\" to the static route",
            );
        }
        self.grip = self.grip(settings);
        self.redis = self.redis(settings);
        self.session_cookie = match settings.value("SESSION_COOKIE_NAME") {
            None => None,
            Some(Value::Text(name)) if name == "sessionid" => None,
            Some(Value::Text(name))
                if name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) =>
            {
                Some(name.clone())
            }
            Some(_) => {
                self.doubt("SESSION_COOKIE_NAME", "sse.session_cookie must be the same");
                None
            }
        };
    }

    fn doubt(&mut self, name: &str, then: &str) {
        self.doubts
            .push(format!("{name} is no plain value: {then}"));
    }

    fn hosts(&mut self, settings: &Settings) -> Vec<String> {
        if settings.read.is_empty() {
            // What they are is not known; that is told already.
            return Vec::new();
        }
        let local = || LOCAL.map(str::to_owned).to_vec();
        let hosts = match settings.value("ALLOWED_HOSTS") {
            None => return local(),
            Some(Value::List(hosts)) if hosts.is_empty() => return local(),
            Some(Value::List(hosts)) => hosts,
            Some(_) => {
                self.doubt("ALLOWED_HOSTS", "name the hosts in server.hosts");
                return Vec::new();
            }
        };
        let mut good = Vec::new();
        for host in hosts {
            match host.text() {
                Some(host) if HostRule::parse(host).is_ok() => good.push(host.to_owned()),
                Some(host) => self.doubts.push(format!(
                    "{host:?} of ALLOWED_HOSTS is none for server.hosts: add what is meant there"
                )),
                None => self.doubt("an entry of ALLOWED_HOSTS", "add it to server.hosts"),
            }
        }
        good
    }

    fn folder(&mut self, root: &Path, settings: &Settings, names: [&str; 2]) -> Folder {
        let [url, folder] = names.map(|name| settings.value(name));
        let [url_name, folder_name] = names;
        let url = match url {
            None | Some(Value::Nothing) => return Folder::None,
            Some(url) => url,
        };
        let Some(url) = url.text() else {
            self.doubt(url_name, "no route was made of it");
            return Folder::None;
        };
        if url.is_empty() || url.contains("//") {
            // Another server has them.
            return Folder::None;
        }
        let path = format!("/{}/", url.trim_matches('/'));
        if path == "//"
            || PathPattern::parse(&format!("{path}<path:file>")).is_err()
            || path.contains('<')
        {
            self.doubt(url_name, "no route was made of it");
            return Folder::None;
        }
        let Some(folder) = folder.filter(|folder| **folder != Value::Nothing) else {
            return Folder::Nowhere(path);
        };
        let Some(folder) = folder.text().filter(|folder| !folder.is_empty()) else {
            self.doubt(folder_name, "the route is there as a comment");
            return Folder::Nowhere(path);
        };
        let folder = root.join(folder);
        let is_in_it = |file: &Path| file.starts_with(&folder);
        if is_in_it(root) || self.read.iter().any(|file| is_in_it(file)) {
            self.doubts.push(format!(
                "{folder_name} holds the project itself, its settings and secrets: the route is there as a comment"
            ));
            return Folder::Nowhere(path);
        }
        Folder::At(path, folder)
    }

    fn grip(&mut self, settings: &Settings) -> Option<Grip> {
        let has = |name, what: &str| match settings.value(name) {
            Some(Value::List(all)) => all
                .iter()
                .any(|item| item.text().is_some_and(|text| text.contains(what))),
            _ => false,
        };
        let url = settings.value("GRIP_URL");
        let is_used = url.is_some()
            || settings.value("GRIP_PROXIES").is_some()
            || has("INSTALLED_APPS", "django_eventstream")
            || has("MIDDLEWARE", "django_grip")
            || (["INSTALLED_APPS", "MIDDLEWARE"]
                .iter()
                .any(|name| settings.is_unclear(name))
                && (settings.says("django_eventstream") || settings.says("django_grip")));
        if !is_used {
            return None;
        }
        let Some(url) = url else {
            return Some(Grip::default());
        };
        let parsed = url.text().and_then(|text| text.parse::<Uri>().ok());
        let Some(parsed) = parsed else {
            self.doubt(
                "GRIP_URL",
                "[listen.grip] must have its port, and `grip` its key if it has one",
            );
            return Some(Grip::default());
        };
        let query = parsed.query().unwrap_or_default();
        let local = parsed.host().is_some_and(|host| LOCAL.contains(&host));
        let key = query
            .split('&')
            .any(|pair| pair.starts_with("key=") || pair.starts_with("verify-key="));
        if key {
            self.doubts.push(
                "GRIP_URL has a key: take it out there, or give it to `grip` of the upstream"
                    .to_owned(),
            );
        }
        let port = parsed.port_u16().filter(|_| local);
        if port == Some(DJANGO) {
            self.doubts.push(format!(
                "GRIP_URL leads to port {DJANGO}, where Django itself is: let it lead to an internal listener"
            ));
        }
        Some(Grip {
            port: port.filter(|port| *port != DJANGO),
            key,
        })
    }

    fn redis(&mut self, settings: &Settings) -> Option<Redis> {
        if let Some(told) = settings.value("EVENTSTREAM_REDIS") {
            let url = redis_url(told, told.field("host"), told.field("port"));
            return Some(self.redis_at(url, "EVENTSTREAM_REDIS", "django-eventstream", None));
        }
        let told = settings.value("REDIS_SSEQUEUE_CONNECTION_SETTINGS")?;
        let location = told.field("location");
        let url = redis_url(told, location, None);
        let channel = settings.value("REDIS_SSEQUEUE_CHANEL_NAME");
        let channel = channel
            .map_or(Some("sse"), Value::text)
            .unwrap_or("sse")
            .to_owned();
        let name = "REDIS_SSEQUEUE_CONNECTION_SETTINGS";
        Some(self.redis_at(url, name, "django-sse", Some(channel)))
    }

    fn redis_at(
        &mut self,
        url: Option<String>,
        name: &str,
        format: &'static str,
        channel: Option<String>,
    ) -> Redis {
        if url.is_none() {
            self.doubt(name, "set the url of [redis]");
        }
        Redis {
            url: url.unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_owned()),
            format,
            channel,
        }
    }
}

/// The URL of a Redis without its password, which is a secret.
fn redis_url(told: &Value, host: Option<&Value>, port: Option<&Value>) -> Option<String> {
    let number = |value: Option<&Value>, usual: i64| match value {
        None => Some(usual),
        Some(Value::Number(number)) => Some(*number),
        Some(_) => None,
    };
    let host = host.map_or(Some("localhost"), Value::text)?;
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '"');
    if !host.chars().all(fits) {
        return None;
    }
    if let Some(socket) = host.strip_prefix("unix:") {
        return Some(format!("unix://{}", socket.trim_start_matches("//")));
    }
    let db = number(told.field("db"), 0)?;
    let port = if host.contains(':') {
        String::new()
    } else {
        format!(":{}", number(port, 6379)?)
    };
    Some(format!("redis://{host}{port}/{db}"))
}

/// The module `….wsgi` in a folder of the project, and its text; the first by name.
fn wsgi(root: &Path) -> Option<(String, String)> {
    let folders = std::fs::read_dir(root).ok()?;
    let folders = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut folders: Vec<_> = folders.filter(|name| is_package(name)).collect();
    folders.sort_unstable();
    folders.into_iter().find_map(|folder| {
        let text = text_of(&root.join(&folder).join("wsgi.py"))?;
        Some((format!("{folder}.wsgi"), text))
    })
}

fn is_package(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The first text behind the name: `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")`.
fn settings_module(text: &str) -> Option<String> {
    const QUOTES: [char; 2] = ['"', '\''];
    let mut places = text.match_indices("DJANGO_SETTINGS_MODULE");
    places.find_map(|(at, name)| {
        let after = text.get(at + name.len()..)?.trim_start_matches(QUOTES);
        let (between, quoted) = after.split_once(QUOTES)?;
        let is_near = between
            .chars()
            .all(|c| c.is_whitespace() || ",)]=".contains(c));
        let module = quoted.split(QUOTES).next().filter(|_| is_near)?;
        Some(module.to_owned())
    })
}
