//! What can be wrong with a path or a channel template as written, and where in it.

use crate::domain::InvalidChannel;

/// A path or a channel template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct PatternError {
    /// The place of the mistake, in bytes from the beginning of the text.
    pub offset: usize,
    /// The mistake.
    pub cause: Cause,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A path that does not begin at the root.
    #[error("a path begins with \"/\"")]
    NoSlash,
    /// `<` or `{` that is never closed.
    #[error("{0:?} without {1:?}")]
    Unclosed(char, char),
    /// `>` or `}` that closes nothing.
    #[error("{1:?} without {0:?}")]
    Unopened(char, char),
    /// A converter Django has not either.
    #[error("unknown converter {0:?}")]
    UnknownConverter(String),
    /// A name that is no Python identifier.
    #[error("{0:?} is no name: letters, digits and \"_\", not beginning with a digit")]
    InvalidName(String),
    /// A name that is no field of a message, nor several with dots between them.
    #[error("{0:?} is no field: letters, digits, \"_\" and \"-\", with dots for what lies deeper")]
    InvalidField(String),
    /// The same name a second time.
    #[error("the name {0:?} is used twice")]
    NameTwice(String),
    /// More converters than matching is meant for.
    #[error("a path has at most {0} converters")]
    TooMany(usize),
    /// A query or fragment.
    #[error("{0:?} cannot be in a path: queries and fragments are no part of it")]
    NotAPath(char),
    /// A percent escape, which no decoded path contains.
    #[error("percent escapes never fit: paths are compared after decoding")]
    Escape,
    /// A redirect to something that is neither a path nor an address of the web.
    #[error("a redirect leads to a path of this site, or to an address with its scheme")]
    NoLocation,
    /// A host that a client could choose.
    #[error("the host of a redirect is written out")]
    VariableHost,
    /// What has to be escaped where it stands.
    #[error("{0:?} cannot stand in an address as it is")]
    NotInLocation(char),
    /// A `.` or `..` segment.
    #[error("a redirect has no dot segments")]
    Dots,
    /// A literal part outside the grammar of channel names, or an empty template.
    #[error(transparent)]
    Channel(#[from] InvalidChannel),
}

impl PatternError {
    pub(super) const fn new(offset: usize, cause: Cause) -> Self {
        Self { offset, cause }
    }

    /// What to write instead, if that can be said.
    pub fn hint(&self) -> Option<String> {
        match &self.cause {
            Cause::NoSlash => Some("paths are written whole, as in \"/rooms/<slug:room>/\"".into()),
            Cause::UnknownConverter(name) => {
                let known = super::pattern::CONVERTERS;
                let near = known
                    .iter()
                    .find(|(known, _)| strsim::osa_distance(known, name) <= 2);
                Some(match near {
                    Some((known, _)) => format!("did you mean {known:?}?"),
                    None => "there are int, slug, uuid, str and path".into(),
                })
            }
            Cause::Unclosed('<', _) => Some("converters are written <slug:name>".into()),
            Cause::Unclosed(..) => Some("variables are written {name}".into()),
            Cause::Escape => Some("write the character itself".into()),
            Cause::NoLocation => {
                Some("as in \"/new/{rest}\" or \"https://example.com/{rest}\"".into())
            }
            Cause::VariableHost => {
                Some("end it with a slash, as in \"https://example.com/{rest}\"".into())
            }
            Cause::NotInLocation('%') => Some("a percent sign is written %25".into()),
            Cause::NotInLocation(_) => Some("write it as a percent escape".into()),
            Cause::Unopened(..)
            | Cause::InvalidName(_)
            | Cause::InvalidField(_)
            | Cause::NameTwice(_)
            | Cause::TooMany(_)
            | Cause::NotAPath(_)
            | Cause::Dots
            | Cause::Channel(_) => None,
        }
    }
}

/// Whether `name` can name a captured part: the rule of Python's `str.isidentifier`, as far as anybody uses it.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}
