//! `tidegate init`: a `gateway.toml` to begin with.
//!
//! `project` looks at a Django project, as text alone: nothing of it is run. `text` writes the file, and this checks it as
//! `tidegate check` would before it is written; a file that is there already is never touched. What could not be read is said
//! in the file and on standard error.

mod project;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::InitArgs;
use super::error::with_causes;
use super::exit::Exit;
use super::terminal::say;
use crate::config;
use project::Project;

/// Why there is no new file.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("{} is there already, and stays as it is: name another file by -c", .0.display())]
    There(PathBuf),
    #[error("{} cannot be written", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no Django project: it has no manage.py, and no folder in it a wsgi.py", .0.display())]
    NoProject(PathBuf),
    #[error("{} cannot be read", folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what would be written is no good configuration: {0}")]
    Bad(String),
}

/// Runs the subcommand.
pub(super) fn run(args: &InitArgs) -> ExitCode {
    match init(args) {
        Ok(()) => Exit::Good.into(),
        Err(error) => {
            say(with_causes(&error));
            Exit::Failed.into()
        }
    }
}

fn init(args: &InitArgs) -> Result<(), Unwritten> {
    let file = &args.config;
    // Told first, though only the attempt to make it tells for sure.
    if file.symlink_metadata().is_ok() {
        return Err(Unwritten::There(file.clone()));
    }
    let project = project(args.django.as_deref())?;
    let text = text::of(project.as_ref());
    if let Err(problems) = config::parse(&text, &config::Process) {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(Unwritten::Bad(problems.join("; ")));
    }
    write(file, &text)?;
    match &project {
        None => {
            say("There is no Django project here (--django names one): the file is a general one");
        }
        Some(project) => {
            for read in &project.read {
                say(format_args!("Read {}", read.display()));
            }
            for doubt in &project.doubts {
                say(format_args!("Not clear: {doubt}"));
            }
        }
    }
    let shown = file.display();
    say(format_args!(
        "Wrote {shown}: look through it, then `tidegate check -c {shown}` and `tidegate run -c {shown}`"
    ));
    Ok(())
}

/// The project in `folder`, or in this one if there is one.
fn project(folder: Option<&Path>) -> Result<Option<Project>, Unwritten> {
    let wanted = folder.unwrap_or_else(|| Path::new("."));
    let unreadable = |source| Unwritten::Folder {
        folder: wanted.to_owned(),
        source,
    };
    let canonical = wanted.canonicalize().map_err(unreadable)?;
    match (Project::look(&canonical), folder) {
        (Some(project), _) => Ok(Some(project)),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Unwritten::NoProject(wanted.to_owned())),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Unwritten> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Unwritten::There(file.to_owned()),
        _ => Unwritten::File {
            file: file.to_owned(),
            source,
        },
    };
    let mut made = File::create_new(file).map_err(failed)?;
    let written = made.write_all(text.as_bytes());
    if written.is_err() {
        // Half a file would be in the way of the next attempt.
        let _removed: io::Result<()> = std::fs::remove_file(file);
    }
    written.map_err(failed)
}
