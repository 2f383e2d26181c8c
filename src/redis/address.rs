//! Where Redis is, as a URL.
//!
//! Read here and not by the library: its own reader says too little about a mistake, knows one host, and takes a user and a
//! password for a unix socket from the query alone. A password may hold anything, `/` and `@` too, so that it can be put in
//! from a secret as it is; only `%` begins an escape. Invariant: neither [`Display`](fmt::Display) nor `Debug` tells it.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The port of Redis.
const PORT: u16 = 6379;
/// That of a sentinel.
const SENTINEL_PORT: u16 = 26379;

/// An address.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) target: Target,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    pub(super) login: Option<Login>,
    /// Written for other programs: channels are the same in all databases.
    database: Option<u32>,
}

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Any of these: the nodes of a cluster, each of which hears what is published on any.
    Hosts(Vec<Host>),
    Unix(PathBuf),
    /// Whom one of the sentinels names.
    Sentinels(Vec<Host>, Box<str>),
}

/// A host with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Unset: the default user.
    pub(super) user: Option<String>,
    pub(super) password: String,
}

/// A text that is no address of Redis. Never quotes it, for there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin as an address of Redis does.
    #[error("an address of Redis does not begin like this")]
    Scheme,
    /// No host, or nothing but a port.
    #[error("there is no host in it")]
    NoHost,
    /// A port that is no number.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// No path of a unix socket.
    #[error("there is no path of a socket in it")]
    NoPath,
    /// A sentinel without the name of its master.
    #[error("there is no name of a master in it")]
    NoMaster,
    /// A database that is no number.
    #[error("a database is a number")]
    Database,
    /// A user without a password.
    #[error("there is a user in it, but no password")]
    NoPassword,
    /// Something in the query or fragment that is not known.
    #[error("what comes last in it is not known")]
    Parameter,
}

impl AddressError {
    /// What to write instead.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Scheme => {
                "redis://, rediss:// (TLS), unix:// or redis+unix:// (a socket), redis+sentinel:// or rediss+sentinel://"
            }
            Self::NoHost | Self::Port | Self::Database => "as in \"redis://127.0.0.1:6379/0\"",
            Self::NoPath => "as in \"unix:///run/redis/redis.sock\"",
            Self::NoMaster => "as in \"redis+sentinel://10.0.0.1,10.0.0.2/mymaster\"",
            Self::NoPassword => "\"redis://user:password@host\", or \"redis://:password@host\"",
            Self::Parameter => "only ?db=0, and for a socket user= and password=",
        }
    }
}

impl Address {
    /// Reads a URL: `redis://user:password@host:port/db` and its like; several hosts have commas between them.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "redis" | "valkey" => Self::at_hosts(rest, false),
            "rediss" | "valkeys" => Self::at_hosts(rest, true),
            "redis+sentinel" => Self::at_sentinels(rest, false),
            "rediss+sentinel" => Self::at_sentinels(rest, true),
            "unix" | "redis+unix" | "valkey+unix" => Self::at_socket(rest),
            _ => Err(AddressError::Scheme),
        }
    }

    fn at_hosts(rest: &str, tls: bool) -> Result<Self, AddressError> {
        let (login, rest) = login(rest)?;
        let (rest, query) = query(rest)?;
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let mut address = Self {
            target: Target::Hosts(hosts_of(hosts, PORT)?),
            tls,
            login,
            database: number(database)?,
        };
        address.add(&query, false)?;
        Ok(address)
    }

    fn at_sentinels(rest: &str, tls: bool) -> Result<Self, AddressError> {
        let (login, rest) = login(rest)?;
        let (rest, query) = query(rest)?;
        let (hosts, path) = rest.split_once('/').ok_or(AddressError::NoMaster)?;
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(AddressError::NoMaster);
        }
        let hosts = hosts_of(hosts, SENTINEL_PORT)?;
        let mut address = Self {
            target: Target::Sentinels(hosts, decoded(master).into()),
            tls,
            login,
            database: number(database)?,
        };
        address.add(&query, false)?;
        Ok(address)
    }

    fn at_socket(rest: &str) -> Result<Self, AddressError> {
        // The path may itself hold an `@`.
        let (login, path) = match rest.find("@/") {
            Some(at) if !rest.starts_with('/') => {
                let (login, path) = rest.split_at(at + 1);
                (self::login(login)?.0, path)
            }
            _ => (None, rest),
        };
        let (path, query) = query(path)?;
        if !path.starts_with('/') || path.len() == 1 {
            return Err(AddressError::NoPath);
        }
        let mut address = Self {
            target: Target::Unix(decoded(path).into()),
            tls: false,
            login,
            database: None,
        };
        address.add(&query, true)?;
        Ok(address)
    }

    /// What the query adds.
    fn add(&mut self, query: &[(&str, &str)], logs_in: bool) -> Result<(), AddressError> {
        let (mut user, mut password) = (None, None);
        for (name, value) in query {
            match *name {
                "db" => self.database = number(value)?,
                "user" | "username" if logs_in => user = Some(decoded(value)),
                "pass" | "password" if logs_in => password = Some(decoded(value)),
                _ => return Err(AddressError::Parameter),
            }
        }
        match (user, password) {
            (None, None) => {}
            (Some(_), None) => return Err(AddressError::NoPassword),
            (user, Some(password)) => self.login = Login::of(user, password),
        }
        Ok(())
    }
}

/// Who logs in, and what follows. The last `@` counts, so that there may be one in the password.
fn login(rest: &str) -> Result<(Option<Login>, &str), AddressError> {
    let Some((login, rest)) = rest.rsplit_once('@') else {
        return Ok((None, rest));
    };
    let (user, password) = login.split_once(':').ok_or(AddressError::NoPassword)?;
    let user = decoded(user);
    let login = Login::of((!user.is_empty()).then_some(user), decoded(password));
    Ok((login, rest))
}

impl Login {
    /// Nobody logs in where both are empty, as from `:${REDIS_PASSWORD:-}@`: Redis refuses a password if it has none.
    fn of(user: Option<String>, password: String) -> Option<Self> {
        (user.is_some() || !password.is_empty()).then_some(Self { user, password })
    }
}

type Query<'a> = Vec<(&'a str, &'a str)>;

/// What is before the query, and its parameters.
fn query(rest: &str) -> Result<(&str, Query<'_>), AddressError> {
    if rest.contains('#') {
        return Err(AddressError::Parameter);
    }
    let Some((before, query)) = rest.split_once('?') else {
        return Ok((rest, Vec::new()));
    };
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let parameters =
        parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    Ok((before, parameters.collect()))
}

fn hosts_of(text: &str, port: u16) -> Result<Vec<Host>, AddressError> {
    text.split(',').map(|host| host_of(host, port)).collect()
}

fn host_of(text: &str, port: u16) -> Result<Host, AddressError> {
    let (name, written) = match text.strip_prefix('[') {
        // IPv6.
        Some(bracketed) => bracketed.split_once(']').ok_or(AddressError::NoHost)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']');
    if name.is_empty() || name.contains(is_strange) {
        return Err(AddressError::NoHost);
    }
    let port = match written.strip_prefix(':') {
        None if written.is_empty() => port,
        None => return Err(AddressError::Port),
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or(AddressError::Port)?,
    };
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

fn number(text: &str) -> Result<Option<u32>, AddressError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| AddressError::Database)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "s" } else { "" };
        match &self.target {
            Target::Hosts(_) => write!(f, "redis{tls}://")?,
            Target::Sentinels(..) => write!(f, "redis{tls}+sentinel://")?,
            Target::Unix(_) => write!(f, "unix://")?,
        }
        if let Some(login) = &self.login {
            let user = login.user.as_deref().unwrap_or_default();
            write!(f, "{user}:***@")?;
        }
        let hosts = |f: &mut fmt::Formatter<'_>, hosts: &[Host]| {
            for (i, host) in hosts.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                write!(f, "{comma}{host}")?;
            }
            Ok(())
        };
        match &self.target {
            Target::Hosts(all) => hosts(f, all)?,
            Target::Sentinels(all, master) => {
                hosts(f, all)?;
                write!(f, "/{master}")?;
            }
            Target::Unix(path) => write!(f, "{}", path.display())?,
        }
        match (self.database, &self.target) {
            (None, _) => Ok(()),
            (Some(database), Target::Unix(_)) => write!(f, "?db={database}"),
            (Some(database), _) => write!(f, "/{database}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Address::parse(text).unwrap().to_string()
    }

    #[test]
    fn addresses_read_back_but_for_the_password() {
        for (text, expected) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("REDISS://u:p@h:1/2", "rediss://u:***@h:1/2"),
            ("redis://:p@[::1]/", "redis://:***@[::1]:6379"),
            ("redis://:@h/1", "redis://h:6379/1"),
            ("redis://u:@h", "redis://u:***@h:6379"),
            ("unix:///r?password=", "unix:///r"),
            ("redis://a,b:7000,c?db=3", "redis://a:6379,b:7000,c:6379/3"),
            ("valkey://h", "redis://h:6379"),
            (
                "redis+sentinel://:p@a,b:1/main/0",
                "redis+sentinel://:***@a:26379,b:1/main/0",
            ),
            ("unix:///run/r.sock", "unix:///run/r.sock"),
            (
                "redis+unix://u:p@/run/r.sock?db=1",
                "unix://u:***@/run/r.sock?db=1",
            ),
            (
                "unix:///run/a@b.sock?password=p&user=u",
                "unix://u:***@/run/a@b.sock",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
            assert_eq!(shown(expected), expected);
        }
    }

    #[test]
    fn a_password_is_put_in_as_it_is_and_never_told() {
        let address = Address::parse("redis://:a/b?c#d@e:f%25@host:1/0").unwrap();
        let login = address.login.as_ref().unwrap();
        assert_eq!(
            (login.user.as_deref(), login.password.as_str()),
            (None, "a/b?c#d@e:f%")
        );
        assert_eq!(address.to_string(), "redis://:***@host:1/0");
        assert!(!format!("{address:?} {login:?}").contains("a/b"));
    }

    #[test]
    fn mistakes_are_told_apart() {
        use AddressError::{
            Database, NoHost, NoMaster, NoPassword, NoPath, Parameter, Port, Scheme,
        };
        for (text, expected) in [
            ("localhost:6379", Scheme),
            ("http://x", Scheme),
            ("redis://", NoHost),
            ("redis://:6379", NoHost),
            ("redis://a,,b", NoHost),
            ("redis://a:b", Port),
            ("redis://a:0", Port),
            ("redis://[::1]6379", Port),
            ("redis://a/x", Database),
            ("redis://a?db=-1", Database),
            ("redis://a?timeout=1", Parameter),
            ("rediss://a/#insecure", Parameter),
            ("redis://user@a", NoPassword),
            ("unix://", NoPath),
            ("unix://run/r.sock", NoPath),
            ("unix:///r?user=u", NoPassword),
            ("redis+sentinel://a", NoMaster),
            ("redis+sentinel://a/", NoMaster),
        ] {
            assert_eq!(Address::parse(text), Err(expected), "{text}");
        }
    }
}
