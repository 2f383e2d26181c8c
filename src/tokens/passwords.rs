//! Hashed passwords, argon2 and bcrypt, and the users they belong to.
//!
//! Read by `config`, asked by `proxy` on a thread that may block: a check takes some 50 ms and up to [`MOST_MEMORY`] KiB.
//! An unknown user costs a check as well, so that how long the answer takes does not tell who exists.

use std::fmt;
use std::str::FromStr as _;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use subtle::ConstantTimeEq as _;

/// The most memory one check of argon2 may take, in KiB.
const MOST_MEMORY: u32 = 256 << 10;
/// The most rounds of argon2 over that memory.
const MOST_ROUNDS: u32 = 32;
/// The highest cost of bcrypt: seconds, and each more doubles it.
const MOST_COST: u32 = 15;

/// A text that is no hash a password could be checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// Neither of the two kinds.
    #[error("a hash begins with $argon2id$ or $2b$; `tidegate hash-password` makes one")]
    Kind,
    /// Of a kind, but cut off or mistyped.
    #[error("the hash is damaged")]
    Damaged,
    /// A check would take too long, or too much memory.
    #[error("a check would cost too much: 256 MiB and 32 rounds of argon2, cost 15 of bcrypt")]
    Costly,
}

/// The hash of one password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Argon2(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

impl Hash {
    /// Reads a hash as argon2, Django's hashers aside, and htpasswd write it.
    pub fn parse(text: &str) -> Result<Self, InvalidHash> {
        if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|_| InvalidHash::Damaged)?;
            let params = Params::try_from(&hash).map_err(|_| InvalidHash::Damaged)?;
            if Algorithm::try_from(hash.algorithm.as_str()).is_err()
                || hash.salt.is_none()
                || hash.hash.is_none()
            {
                return Err(InvalidHash::Damaged);
            }
            if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_ROUNDS {
                return Err(InvalidHash::Costly);
            }
            return Ok(Self(Kind::Argon2(Box::new(hash))));
        }
        if !text.starts_with("$2") {
            return Err(InvalidHash::Kind);
        }
        let parts = bcrypt::HashParts::from_str(text).map_err(|_| InvalidHash::Damaged)?;
        match parts.get_cost() {
            0..4 => Err(InvalidHash::Damaged),
            4..=MOST_COST => Ok(Self(Kind::Bcrypt(text.into()))),
            _ => Err(InvalidHash::Costly),
        }
    }

    /// The hash of a new password, by argon2id with the costs that OWASP recommends; `None` without random bits.
    pub fn make(password: &[u8]) -> Option<String> {
        let hash = Argon2::default().hash_password(password).ok()?;
        Some(hash.to_string())
    }

    /// Whether it is the hash of `password`. Blocks.
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.0 {
            Kind::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
            // What is longer than 72 bytes is cut, as by whoever made the hash.
            Kind::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }
}

/// Who may come in, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users(Vec<(Box<str>, Hash)>);

impl Users {
    /// Adds a user; not if there is one of that name.
    pub fn add(&mut self, name: &str, hash: Hash) -> bool {
        let is_new = !self.0.iter().any(|(known, _)| **known == *name);
        if is_new {
            self.0.push((name.into(), hash));
        }
        is_new
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Whether `password` is that of `name`. Blocks, for an unknown name as long as for the first that is known.
    pub fn verify(&self, name: &[u8], password: &[u8]) -> bool {
        let mut found = None;
        for (known, hash) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(name)) {
                found = Some(hash);
            }
        }
        let decoy = self.0.first().map(|(_, hash)| hash);
        let is_right = found.or(decoy).is_some_and(|hash| hash.verify(password));
        is_right && found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "secret", at the lowest costs.
    const ARGON2: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$";
    const BCRYPT: &str = "$2b$04$";

    fn cheap(password: &str) -> [String; 2] {
        let params = Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::from(params).hash_password(password.as_bytes());
        [
            argon2.unwrap().to_string(),
            bcrypt::hash(password, 4).unwrap(),
        ]
    }

    #[test]
    fn a_password_fits_its_own_hash_of_either_kind() {
        for (text, kind) in cheap("s€cret").iter().zip(["$argon2id$", BCRYPT]) {
            assert!(text.starts_with(kind), "{text}");
            let hash = Hash::parse(text).unwrap();
            assert!(hash.verify("s€cret".as_bytes()));
            assert!(!hash.verify(b"secret") && !hash.verify(b""));
            assert!(!format!("{hash:?}").contains(&text[7..]));
        }
        // As htpasswd -B writes it.
        let php = cheap("x")[1].replace("$2b$", "$2y$");
        assert!(Hash::parse(&php).unwrap().verify(b"x"));
        let made = Hash::make(b"made").unwrap();
        assert!(Hash::parse(&made).unwrap().verify(b"made"));
    }

    #[test]
    fn what_is_no_hash_is_told_apart() {
        let [argon2, bcrypt] = cheap("x");
        for (text, error) in [
            ("", InvalidHash::Kind),
            ("secret", InvalidHash::Kind),
            ("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", InvalidHash::Kind),
            (ARGON2, InvalidHash::Damaged),
            ("$argon2id$", InvalidHash::Damaged),
            (BCRYPT, InvalidHash::Damaged),
            (&bcrypt[..59], InvalidHash::Damaged),
            (&bcrypt.replace("$04$", "$03$"), InvalidHash::Damaged),
            (&bcrypt.replace("$04$", "$16$"), InvalidHash::Costly),
            (&argon2.replace("m=8,", "m=262145,"), InvalidHash::Costly),
            (&argon2.replace("t=1,", "t=33,"), InvalidHash::Costly),
            (&argon2.replace("argon2id", "argon2x"), InvalidHash::Damaged),
        ] {
            assert_eq!(Hash::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn nobody_comes_in_by_the_password_of_another() {
        let mut users = Users::default();
        let hash = |password| Hash::parse(&cheap(password)[1]).unwrap();
        assert!(!users.verify(b"ann", b"a"), "there is nobody");
        assert!(users.add("ann", hash("a")) && users.add("bob", hash("b")));
        assert!(!users.add("ann", hash("c")));
        assert!(users.verify(b"ann", b"a") && users.verify(b"bob", b"b"));
        assert!(!users.verify(b"ann", b"b") && !users.verify(b"bob", b"a"));
        assert!(!users.verify(b"eve", b"a") && !users.verify(b"", b"a"));
        assert_eq!(users.names().collect::<Vec<_>>(), ["ann", "bob"]);
    }
}
