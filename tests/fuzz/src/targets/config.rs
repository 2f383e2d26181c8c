//! `gateway.toml` of any text: mistakes have places and tell no secret, and what is accepted is shown and read back.

use std::io;

use tidegate::config::{Environment, parse, show};

/// An environment that never changes.
struct Fixed;

/// Long enough for any key or secret.
const SECRET: &str = "thirty-two bytes and more from-the-environment";
const TELLTALE: &str = "from-the-environment";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "KEY").then(|| SECRET.to_owned())
    }

    fn file(&self, path: &str) -> io::Result<String> {
        match path {
            "/secret" => Ok(SECRET.to_owned()),
            "/public.pem" => Ok(PUBLIC_KEY.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

pub fn check(data: &[u8]) -> Option<()> {
    let text = std::str::from_utf8(data).ok()?;
    match parse(text, &Fixed) {
        Ok(config) => {
            let shown = show(&config);
            let file = unmasked(&shown);
            let again = parse(&file, &Fixed);
            let again = again.unwrap_or_else(|problems| panic!("{problems:#?}\n{shown}"));
            assert_eq!(show(&again), shown);
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "{problem:?}");
                assert!(problem.column >= 1, "{problem:?}");
                // Unless the file itself says it: libFuzzer learns texts from comparisons.
                let known = text.contains(TELLTALE);
                assert!(
                    known || !problem.to_string().contains(TELLTALE),
                    "{problem}"
                );
            }
        }
    }
    Some(())
}

/// Each mask is a secret again; two tokens cannot have the same one.
fn unmasked(shown: &str) -> String {
    let mut pieces = shown.split("\"***\"");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (number, piece) in pieces.enumerate() {
        text.push_str(&format!("\"{SECRET}{number}\"{piece}"));
    }
    text
}
