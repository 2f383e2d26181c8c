//! What `show` writes of `[headers]`, `[errors]`, and of routes that are answered here or have users.

use std::fmt::{self, Write as _};

use http::{HeaderName, HeaderValue};

use super::show::{list, quoted};
use super::token::MASKED;
use super::values::duration_text;
use super::{Config, show};
use crate::proxy::{BasicAuthSettings, Fixed, Hsts, Redirect};
use crate::wire::cors;

/// `[headers]` and `[errors]`.
pub(super) fn edge(out: &mut String, config: &Config) -> fmt::Result {
    let finish = &config.finish;
    writeln!(out, "\n[headers]")?;
    writeln!(out, "set = {}", headers(&finish.set))?;
    let hsts = finish.hsts.as_ref();
    let max_age = hsts.map(Hsts::max_age).unwrap_or_default();
    writeln!(out, "hsts = \"{}\"", duration_text(max_age))?;
    if let Some(hsts) = hsts {
        writeln!(out, "hsts_subdomains = {}", hsts.subdomains())?;
        writeln!(out, "hsts_preload = {}", hsts.preload())?;
    }
    writeln!(out, "\n[errors]")?;
    let pages = finish.pages.iter().map(|(status, page)| {
        let path = quoted(&page.path.to_string_lossy());
        format!("{} = {path}", status.as_u16())
    });
    writeln!(out, "pages = {}", table(pages))?;
    let Some(maintenance) = &config.maintenance else {
        return Ok(());
    };
    let when_file = quoted(&maintenance.when_file.to_string_lossy());
    write!(out, "maintenance = {{ when_file = {when_file}")?;
    if let Some(page) = &maintenance.page {
        write!(out, ", page = {}", quoted(&page.path.to_string_lossy()))?;
    }
    let retry_after = duration_text(maintenance.retry_after);
    writeln!(out, ", retry_after = \"{retry_after}\" }}")
}

/// `redirect`.
pub(super) fn redirect(out: &mut String, redirect: &Redirect) -> fmt::Result {
    let (to, status) = (quoted(redirect.to.as_str()), redirect.status.as_u16());
    writeln!(out, "redirect = {{ to = {to}, status = {status} }}")
}

/// `respond`.
pub(super) fn respond(out: &mut String, fixed: &Fixed) -> fmt::Result {
    let content_type = quoted(&String::from_utf8_lossy(fixed.content_type.as_bytes()));
    let body = quoted(&String::from_utf8_lossy(&fixed.body));
    let status = fixed.status.as_u16();
    write!(
        out,
        "respond = {{ status = {status}, type = {content_type}, body = {body}"
    )?;
    if !fixed.headers.is_empty() {
        write!(out, ", headers = {}", headers(&fixed.headers))?;
    }
    writeln!(out, " }}")
}

/// `basic_auth` and `cors` of a route.
pub(super) fn access(
    out: &mut String,
    basic_auth: Option<&BasicAuthSettings>,
    cors: Option<&cors::Rules>,
) -> fmt::Result {
    if let Some(auth) = basic_auth {
        let users = auth.users.names().map(|name| format!("{name}:{MASKED}"));
        let (realm, users) = (quoted(&auth.realm), list(users));
        let pass_on = auth.pass_on;
        writeln!(
            out,
            "basic_auth = {{ realm = {realm}, users = {users}, pass_on = {pass_on} }}"
        )?;
    }
    match cors {
        Some(rules) => writeln!(out, "cors = {}", show::cors(rules)),
        None => Ok(()),
    }
}

fn headers(headers: &[(HeaderName, HeaderValue)]) -> String {
    table(headers.iter().map(|(name, value)| {
        let value = quoted(&String::from_utf8_lossy(value.as_bytes()));
        format!("{name} = {value}")
    }))
}

fn table(members: impl Iterator<Item = String>) -> String {
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        return "{ }".to_owned();
    }
    format!("{{ {} }}", members.join(", "))
}
