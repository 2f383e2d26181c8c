//! `tidegate show`: the configuration in force, as TOML or JSON on standard output.
//!
//! Both say the same: the JSON is the TOML, read again.

use std::process::ExitCode;

use super::arguments::ShowArgs;
use super::exit::Exit;
use super::{file, terminal};
use crate::config;

/// Runs the subcommand.
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    let config = match file::load(&args.file.config) {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let text = config::show(&config);
    if !args.json {
        terminal::data(text);
        return Exit::Good.into();
    }
    match as_json(&text) {
        Ok(json) => {
            terminal::data(format_args!("{json:#}\n"));
            Exit::Good.into()
        }
        Err(error) => {
            terminal::say(error);
            Exit::Failed.into()
        }
    }
}

fn as_json(text: &str) -> Result<serde_json::Value, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Process, parse};

    #[test]
    fn the_json_says_what_the_toml_says() {
        let text = "version = 1\n[listen.http]\naddress = \"127.0.0.1:0\"\n[upstream.django]\nservers = [\"127.0.0.1:1\"]\n\
                    [[route]]\npath = \"/<path:rest>\"\nproxy = \"django\"\n";
        let shown = config::show(&parse(text, &Process).unwrap());
        let json = as_json(&shown).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["route"][0]["proxy"]["to"], "django");
        assert_eq!(json["sse"]["heartbeat"], "15s");
        let again: toml::Table = serde_json::from_value(json).unwrap();
        assert_eq!(again, toml::from_str(&shown).unwrap());
    }
}
