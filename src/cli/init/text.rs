//! The file that `init` writes: comments and values, nothing that the default already says.

use std::fmt::{self, Write as _};

use super::project::{Folder, Grip, Project, Redis};

/// A hashed name never means another content.
const HASHED: &str = ", hashed = \"1y\"";
/// What a browser may show; the rest is downloaded, for whoever may upload could upload a page.
const INLINE: &str = ", inline = [\"image/*\", \"video/*\", \"audio/*\", \"application/pdf\"]";
/// Where Django publishes.
const INTERNAL: u16 = 9090;

/// The file for a project, or for any.
pub(super) fn of(project: Option<&Project>) -> String {
    let mut text = String::new();
    write(&mut text, project).expect("a string takes any text");
    text
}

fn write(out: &mut String, project: Option<&Project>) -> fmt::Result {
    match project {
        Some(project) => writeln!(
            out,
            "# Made by `tidegate init` of {}.",
            one_line(&project.module)
        )?,
        None => writeln!(out, "# Made by `tidegate init`.")?,
    }
    out.push_str(
        "#   tidegate check            is this file right?       tidegate show     what is in force, defaults included\n\
         #   tidegate explain /        which route answers\n\
         # Any string may hold ${NAME}, ${NAME:-default} or ${file:/run/secrets/name}.\n",
    );
    let doubts = project.map_or(&[][..], |project| &project.doubts);
    if !doubts.is_empty() {
        writeln!(out, "#\n# What could not be read, and is yours to look at:")?;
    }
    for doubt in doubts {
        writeln!(out, "#   - {}", one_line(doubt))?;
    }
    writeln!(out, "version = 1\n\n[server]")?;
    hosts(out, project)?;
    listeners(out, project.and_then(|project| project.grip.as_ref()))?;
    upstream(out, project)?;
    if let Some(project) = project {
        files(out, project)?;
    }
    routes(out)?;
    if let Some(cookie) = project.and_then(|project| project.session_cookie.as_ref()) {
        writeln!(
            out,
            "\n[sse]\nsession_cookie = {}  # a logout ends the streams opened with it",
            quoted(cookie)
        )?;
    }
    match project.and_then(|project| project.redis.as_ref()) {
        Some(told) => redis(out, told),
        None => Ok(()),
    }
}

fn hosts(out: &mut String, project: Option<&Project>) -> fmt::Result {
    match project.map(|project| &*project.hosts) {
        Some([]) => writeln!(
            out,
            "# As ALLOWED_HOSTS. \"*\" is every host: better name them, any other then gets 421 and never reaches Django.\n\
             hosts = [\"*\"]"
        ),
        Some(hosts) => {
            let hosts: Vec<_> = hosts.iter().map(|host| quoted(host)).collect();
            writeln!(
                out,
                "# As ALLOWED_HOSTS; any other host gets 421 and never reaches Django.\nhosts = [{}]",
                hosts.join(", ")
            )
        }
        None => writeln!(
            out,
            "# Any other host gets 421 and never reaches Django.\nhosts = [\"localhost\", \"127.0.0.1\", \"[::1]\"]"
        ),
    }
}

fn listeners(out: &mut String, grip: Option<&Grip>) -> fmt::Result {
    writeln!(
        out,
        "\n[listen.http]\naddress = \"127.0.0.1:8080\"             # \"0.0.0.0:80\" for everybody\n\
         \n# HTTPS, with certificates that are ordered and renewed by themselves:\n\
         # [listen.https]\n# address = \"0.0.0.0:443\"\n# tls = \"main\"\n# [tls.main]\n\
         # acme = {{ domains = [\"example.com\"], contact = \"ops@example.com\", cache = \"/var/lib/tidegate/acme\" }}\n\
         # Then `redirect_to_https = true` in [listen.http], and in Django's settings:\n\
         # SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")\n\
         \n[listen.internal]                      # Django publishes here: POST /v1/events. Never make it public\n\
         address = \"127.0.0.1:{INTERNAL}\"\nrole = \"internal\"\n\
         \n# On loopback the internal listener needs no token, anywhere else it does:\n\
         # [publish]\n# tokens = [{{ name = \"django\", secret = \"${{TIDEGATE_TOKEN}}\" }}]"
    )?;
    match grip
        .and_then(|grip| grip.port)
        .filter(|port| *port != INTERNAL)
    {
        Some(port) => writeln!(
            out,
            "\n[listen.grip]                          # where GRIP_URL leads\naddress = \"127.0.0.1:{port}\"\nrole = \"internal\""
        ),
        None => Ok(()),
    }
}

fn upstream(out: &mut String, project: Option<&Project>) -> fmt::Result {
    let wsgi = project.and_then(|project| project.wsgi.as_deref());
    let wsgi = one_line(wsgi.unwrap_or("mysite.wsgi"));
    writeln!(
        out,
        "\n[upstream.django]                      # gunicorn --workers 1 --bind 127.0.0.1:8000 {wsgi}\n\
         servers = [\"127.0.0.1:8000\"]           # or \"unix:/run/gunicorn.sock\""
    )?;
    let Some(grip) = project.and_then(|project| project.grip.as_ref()) else {
        return Ok(());
    };
    writeln!(
        out,
        "grip = true                            # for django-grip and django-eventstream"
    )?;
    if grip.key {
        writeln!(
            out,
            "# GRIP_URL has a key. Take it out there, or have it here, in the place of the line above:\n\
             # grip = {{ key = \"${{GRIP_KEY}}\" }}"
        )?;
    }
    if grip.port.is_none() {
        writeln!(
            out,
            "# GRIP_URL of the settings: \"http://127.0.0.1:{INTERNAL}\""
        )?;
    }
    Ok(())
}

fn files(out: &mut String, project: &Project) -> fmt::Result {
    let hashed = if project.hashed { HASHED } else { "" };
    let more = format!(", precompressed = true{hashed}");
    let (statics, media) = (&project.statics, &project.media);
    let mut folders = [
        (
            statics,
            "STATIC_ROOT",
            more.as_str(),
            "`manage.py collectstatic` puts them there",
        ),
        (media, "MEDIA_ROOT", INLINE, "what users have uploaded"),
    ];
    // One may be below the other.
    folders.sort_by_key(|(folder, ..)| std::cmp::Reverse(folder.path().map(str::len)));
    for (files, setting, more, what) in folders {
        folder(out, files, setting, more, what)?;
    }
    Ok(())
}

fn folder(out: &mut String, folder: &Folder, setting: &str, more: &str, what: &str) -> fmt::Result {
    match folder {
        Folder::None => Ok(()),
        Folder::At(path, root) => writeln!(
            out,
            "\n[[route]]                              # {what}\npath = {}\nstatic = {{ root = {}{more} }}",
            quoted(&format!("{path}<path:file>")),
            quoted(&root.to_string_lossy())
        ),
        Folder::Nowhere(path) => writeln!(
            out,
            "\n# {what}; set {setting}, and say here what it is:\n# [[route]]\n# path = {}\n# static = {{ root = \"/srv/app/files\"{more} }}",
            quoted(&format!("{path}<path:file>"))
        ),
    }
}

fn routes(out: &mut String) -> fmt::Result {
    out.push_str(
        "\n# A stream is held here, and no worker waits for it. Django says who may listen, in the answer of a view:\n\
         # HttpResponse(headers={\"SSE-Channel\": f\"user-{request.user.pk}\", \"SSE-User\": str(request.user.pk)})\n\
         # [[route]]\n# path = \"/events/\"\n# sse = { ask = \"django\" }\n",
    );
    writeln!(
        out,
        "\n[[route]]                              # everything else; the first route that fits answers, as in urls.py\n\
         path = \"/<path:rest>\"\nproxy = \"django\""
    )
}

fn redis(out: &mut String, redis: &Redis) -> fmt::Result {
    writeln!(
        out,
        "\n# What the site publishes through Redis; a password goes into the url, as in redis://:${{REDIS_PASSWORD}}@host:6379/0\n\
         # [redis]\n# url = {}\n# [[redis.listen]]",
        quoted(&redis.url)
    )?;
    if let Some(channel) = &redis.channel {
        writeln!(out, "# channel = {}", quoted(channel))?;
    }
    writeln!(out, "# format = \"{}\"", redis.format)
}

/// A string of TOML, in which no dollar sign begins a variable.
fn quoted(text: &str) -> String {
    // A line end in several quotes would end a comment.
    let text = one_line(text).replace('$', "$$");
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Foreign text on one line of a comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}
