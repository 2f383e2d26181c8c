//! What a reload came to, as JSON: `POST /v1/reload` answers with it, `tidegate reload` reads it.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a file says otherwise than the one before. Keys, or the tables they are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force now.
    pub changed: Vec<String>,
    /// What will be in force after a restart only.
    pub restart: Vec<String>,
}

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The key; empty for a mistake of TOML itself.
    pub key: String,
    /// What is wrong. Quotes no secret.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Reloaded {
    /// The answer.
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("texts can always be written as JSON")
            .into()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back() {
        let reloaded = Reloaded {
            changed: vec!["route".to_owned()],
            restart: Vec::new(),
        };
        let json = reloaded.to_json();
        assert_eq!(json, r#"{"changed":["route"],"restart":[]}"#);
        assert_eq!(serde_json::from_slice::<Reloaded>(&json).unwrap(), reloaded);
    }
}
