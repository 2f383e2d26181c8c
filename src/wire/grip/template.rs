//! What stands for something else in ids and in content: `%%`, `%I`, `%(text)I`, `%(name)s`.
//!
//! The held stream renders the template of its ids with [`render`] and sends what its channels have content filters for
//! through a [`Content`] for each. A directive may be split between two pieces of content anywhere. What is no directive
//! stays as it is, and so does one whose argument does not end within its line or within 1 KiB, or for which there is no
//! value: ids in replays have single percent signs. In an argument a backslash makes the next byte stand for itself.

use std::borrow::Cow;

/// The longest directive, in bytes.
const LONGEST: usize = 1024;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// How an id is written into content: `id_encoding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// Two hexadecimal digits for each byte.
    Hex,
}

impl Encoding {
    /// What the meta `id_encoding` says; anything but `hex` is plain.
    pub fn of_meta(value: Option<&str>) -> Self {
        match value {
            Some("hex") => Self::Hex,
            _ => Self::Plain,
        }
    }

    /// Appends `bytes`.
    pub fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(bytes),
            Self::Hex => {
                let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
                out.extend(digits.filter_map(|digit| HEX.get(usize::from(digit))));
            }
        }
    }
}

/// Appends `template`, in which `%(name)s` stands for the prev-id of the channel `name`.
pub fn render<'a>(template: &str, lookup: impl Fn(&str) -> Option<&'a str>, out: &mut String) {
    let mut bytes = std::mem::take(out).into_bytes();
    let value = |name: &str| lookup(name).map(Cow::Borrowed);
    let mut content = Content::var_subst();
    content.feed(template.as_bytes(), &value, &mut bytes);
    content.finish(&mut bytes);
    *out = match String::from_utf8(bytes) {
        Ok(text) => text,
        // No text becomes anything else by this, whole characters are copied; but nobody is to rely on it.
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
}

/// A content filter at work on a stream of bytes.
#[derive(Debug, Clone)]
pub struct Content {
    kind: Kind,
    /// A directive that is not over yet: it begins with `%`.
    open: Vec<u8>,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// `%I` is the id, and `%(text)I` the text written as an id.
    BuildId(Encoding),
    /// `%(name)s` is the value of that name.
    VarSubst,
}

/// Where in a directive the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After the percent sign.
    Begin,
    /// In the argument.
    Argument,
    /// In the argument, after a backslash.
    Escaped,
    /// After the argument.
    Letter,
}

impl Content {
    /// The filter `build-id`. Its value, of an empty name, is the rendered id.
    pub const fn build_id(encoding: Encoding) -> Self {
        Self::new(Kind::BuildId(encoding))
    }

    /// The filter `var-subst`. Its values are the request's meta.
    pub const fn var_subst() -> Self {
        Self::new(Kind::VarSubst)
    }

    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            open: Vec::new(),
            place: Place::Begin,
        }
    }

    /// Appends what `piece` becomes, up to a directive at its end that is not over.
    pub fn feed<'v>(
        &mut self,
        piece: &[u8],
        value: &dyn Fn(&str) -> Option<Cow<'v, str>>,
        out: &mut Vec<u8>,
    ) {
        let mut rest = piece;
        loop {
            if self.open.is_empty() {
                let sign = memchr::memchr(b'%', rest).unwrap_or(rest.len());
                let (before, from) = rest.split_at_checked(sign).unwrap_or((rest, &[]));
                out.extend_from_slice(before);
                rest = from;
            }
            let Some((&byte, after)) = rest.split_first() else {
                return;
            };
            rest = after;
            self.step(byte, value, out);
        }
    }

    /// Appends what is left: a directive that never ended.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.open);
    }

    fn step<'v>(
        &mut self,
        byte: u8,
        value: &dyn Fn(&str) -> Option<Cow<'v, str>>,
        out: &mut Vec<u8>,
    ) {
        if self.open.is_empty() {
            self.begin(byte, out);
            return;
        }
        let next = match (self.place, byte) {
            (Place::Argument | Place::Escaped, b'\r' | b'\n') => None,
            (Place::Argument, b'\\') => Some(Place::Escaped),
            (Place::Argument, b')') => Some(Place::Letter),
            (Place::Begin, b'(') | (Place::Argument | Place::Escaped, _) => Some(Place::Argument),
            (Place::Begin | Place::Letter, _) => {
                if self.replace(byte, value, out) {
                    self.open.clear();
                    return;
                }
                None
            }
        };
        if let Some(next) = next.filter(|_| self.open.len() < LONGEST) {
            self.open.push(byte);
            self.place = next;
        } else {
            out.append(&mut self.open);
            self.begin(byte, out);
        }
    }

    /// Outside of a directive.
    fn begin(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == b'%' {
            self.open.push(byte);
            self.place = Place::Begin;
        } else {
            out.push(byte);
        }
    }

    /// Appends what the directive stands for that ends with `letter`, if it stands for something.
    fn replace<'v>(
        &self,
        letter: u8,
        value: &dyn Fn(&str) -> Option<Cow<'v, str>>,
        out: &mut Vec<u8>,
    ) -> bool {
        let argument = self.open.strip_prefix(b"%(");
        let argument = argument.and_then(|open| open.strip_suffix(b")"));
        match (self.kind, letter, argument) {
            (_, b'%', None) => {
                out.push(b'%');
                true
            }
            (Kind::BuildId(encoding), b'I', None) => match value("") {
                Some(id) => {
                    encoding.write(id.as_bytes(), out);
                    true
                }
                None => false,
            },
            (Kind::BuildId(encoding), b'I', Some(text)) => {
                encoding.write(&unescaped(text), out);
                true
            }
            (Kind::VarSubst, b's', Some(name)) => {
                let name = unescaped(name);
                let name = std::str::from_utf8(&name).ok();
                match name.and_then(value) {
                    Some(value) => {
                        out.extend_from_slice(value.as_bytes());
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }
}

fn unescaped(argument: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', argument).is_none() {
        return argument.into();
    }
    let mut escaped = false;
    let kept = argument.iter().filter(|&&byte| {
        escaped = byte == b'\\' && !escaped;
        !escaped
    });
    kept.copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<Cow<'static, str>> {
        match name {
            "" => Some("room:8".into()),
            "user" | "a)b\\" => Some("7%I".into()),
            _ => None,
        }
    }

    fn filtered(mut content: Content, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        pieces.for_each(|piece| content.feed(piece, &value, &mut out));
        content.finish(&mut out);
        out
    }

    fn text(content: Content, text: &str) -> String {
        let out = filtered(content, &mut std::iter::once(text.as_bytes()));
        String::from_utf8(out).unwrap()
    }

    fn id(content: &str) -> String {
        text(Content::build_id(Encoding::Plain), content)
    }

    #[test]
    fn an_id_is_built_into_content() {
        assert_eq!(id("id: %I\ndata: 5%%\n\n"), "id: room:8\ndata: 5%\n\n");
        assert_eq!(id(r"%(a\)b%I)I%%I"), "a)b%I%I");
        let hex = Content::build_id(Encoding::of_meta(Some("hex")));
        assert_eq!(text(hex, "%I %(ab)I %%"), "726f6f6d3a38 6162 %");
        assert_eq!(Encoding::of_meta(Some("x")), Encoding::Plain);
        let mut out = Vec::new();
        let mut nothing = Content::build_id(Encoding::Plain);
        nothing.feed(b"%I%(a)I", &|_| None, &mut out);
        assert_eq!(out, b"%Ia");
    }

    #[test]
    fn what_is_no_directive_stays() {
        for same in [
            "a%20b:1",
            "%",
            "%(",
            "%(a",
            "%(a)",
            "%(a)s",
            "%i",
            "%d%",
            "%(a\n)I",
            "%(a\\\n)I",
            "% I",
        ] {
            assert_eq!(id(same), same);
        }
        assert_eq!(id("%(a)%I%x%%I%%%I"), "%(a)room:8%x%I%room:8");
        assert_eq!(id("%(a\n%I"), "%(a\nroom:8");
        let long = |length| format!("%({})I", "a".repeat(length));
        assert_eq!(id(&long(LONGEST - 3)).len(), LONGEST - 3);
        assert_eq!(id(&long(LONGEST - 2)), long(LONGEST - 2));
    }

    #[test]
    fn meta_is_put_into_content() {
        let meta = |content| text(Content::var_subst(), content);
        assert_eq!(
            meta(r"%(user)s %(a\)b\\)s %(x)s %I %%"),
            "7%I 7%I %(x)s %I %"
        );
    }

    #[test]
    fn a_template_is_rendered_with_prev_ids() {
        let mut out = "<".to_owned();
        let lookup = |name: &str| (name == "events-ä").then_some("7");
        render("ä:%(events-ä)s,b:%(events-b)s%%", lookup, &mut out);
        assert_eq!(out, "<ä:7,b:%(events-b)s%");
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            content in r"([%()\\Is\na]|%I|%\(user\)s|%\(a\)I|ä){0,30}",
            size in 1_usize..8,
            subst in any::<bool>(),
        ) {
            let filter = if subst { Content::var_subst() } else { Content::build_id(Encoding::Plain) };
            let whole = text(filter.clone(), &content);
            let pieces = filtered(filter, &mut content.as_bytes().chunks(size));
            prop_assert_eq!(whole.as_bytes(), pieces);
        }

        #[test]
        fn doubled_percent_signs_bring_any_text_through(content in any::<String>()) {
            prop_assert_eq!(id(&content.replace('%', "%%")), content);
        }

        #[test]
        fn any_template_is_rendered(template in any::<String>()) {
            let mut out = String::new();
            render(&template, |_| None, &mut out);
            prop_assert!(out.len() <= template.len());
        }
    }
}
