//! Projects, and what is made of them.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::{Config, Process, RouteKind, parse};
use crate::server::Address;
use crate::wire::host::HostRule;

/// A project of these files.
fn project_of(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

const MANAGE: (&str, &str) = (
    "manage.py",
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n",
);

fn with_settings(settings: &str) -> TempDir {
    project_of(&[MANAGE, ("mysite/settings.py", settings)])
}

fn made(folder: &TempDir) -> (String, Config, Project) {
    let project = project(Some(folder.path())).unwrap().unwrap();
    let text = text::of(Some(&project));
    let config = parse(&text, &Process).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    (text, config, project)
}

/// The folders that are served, with their paths.
fn folders(config: &Config) -> Vec<(String, PathBuf)> {
    let entries = config.routes.entries().iter();
    let files = entries.filter_map(|entry| match &entry.target.kind {
        RouteKind::Static { files, .. } => Some((entry.name.clone(), files.root.clone())),
        _ => None,
    });
    files.collect()
}

#[test]
fn without_a_project_there_is_a_file_all_the_same() {
    let config = parse(&text::of(None), &Process).unwrap();
    assert_eq!((config.listen.len(), config.routes.entries().len()), (2, 1));
}

#[test]
fn a_project_becomes_hosts_and_files() {
    let folder = with_settings(
        "from pathlib import Path\nBASE_DIR = Path(__file__).resolve().parent.parent\nALLOWED_HOSTS = ['site.test', '.b.test']\n\
         STATIC_URL = 'static/'\nSTATIC_ROOT = BASE_DIR / 'all $x \"y'\nMEDIA_URL = '/media/'\nMEDIA_ROOT = 'up'\n\
         STORAGES = {'staticfiles': {'BACKEND': 'x.ManifestStaticFilesStorage'}}\nSESSION_COOKIE_NAME = 'sid'\n",
    );
    let (text, config, project) = made(&folder);
    let hosts = [
        HostRule::Exact("site.test".into()),
        HostRule::Below("b.test".into()),
    ];
    assert_eq!(config.hosts, hosts);
    let root = folder.path().canonicalize().unwrap();
    assert_eq!(
        folders(&config),
        [
            ("/static/<path:file>".into(), root.join("all $x \"y")),
            ("/media/<path:file>".into(), root.join("up")),
        ]
    );
    assert!(text.contains("hashed = \"1y\"") && text.contains("image/*"));
    assert_eq!(config.stream.session_cookie.as_deref(), Some("sid"));
    assert!(project.doubts.is_empty(), "{:?}", project.doubts);
    assert_eq!(project.read, [root.join("mysite/settings.py")]);
}

#[test]
fn what_is_not_clear_is_said_and_not_guessed() {
    let folder = with_settings(
        "ALLOWED_HOSTS = env.list('HOSTS')\nSTATIC_URL = '/static/'\nSTATIC_ROOT = os.environ['STATIC']\n\
         if x:\n    MEDIA_URL = '/m/'\nGRIP_URL = os.environ['GRIP_URL']\nfrom elsewhere import *\n",
    );
    let (text, config, project) = made(&folder);
    assert_eq!(config.hosts, [HostRule::Any]);
    assert!(folders(&config).is_empty());
    assert!(config.upstreams[0].grip.is_some());
    for name in [
        "ALLOWED_HOSTS",
        "STATIC_ROOT",
        "MEDIA_URL",
        "GRIP_URL",
        "elsewhere",
    ] {
        let is_told = |doubt: &String| doubt.contains(name);
        assert!(project.doubts.iter().any(is_told), "{name}");
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn what_changes_a_setting_in_another_way_makes_it_unclear() {
    for change in [
        "from .hosts import ALLOWED_HOSTS",
        "ALLOWED_HOSTS = ['a.test']\nALLOWED_HOSTS.append('b.test')",
        "ALLOWED_HOSTS, DEBUG = ['a.test'], False",
        "for h in hosts: ALLOWED_HOSTS = [h]",
        "DEBUG = False; ALLOWED_HOSTS = ['a.test']",
    ] {
        let (text, config, project) = made(&with_settings(change));
        assert_eq!(config.hosts, [HostRule::Any], "{change}");
        let is_told = |doubt: &String| doubt.contains("ALLOWED_HOSTS");
        assert!(
            project.doubts.iter().any(is_told) && text.contains("ALLOWED_HOSTS"),
            "{change}"
        );
    }
    let (_, config, _) = made(&with_settings("\u{feff}ALLOWED_HOSTS = ['a.test']\n"));
    assert_eq!(config.hosts, [HostRule::Exact("a.test".into())]);
    let held = "INSTALLED_APPS = []\nINSTALLED_APPS.append('django_eventstream')\n";
    let (_, config, _) = made(&with_settings(held));
    assert!(config.upstreams[0].grip.is_some());
    let hashed = "STATIC_URL = '/s/'\nSTATIC_ROOT = '/srv/s'\nSTORAGES['staticfiles'] = {'BACKEND': 'x.ManifestStorage'}\n";
    let (_, _, project) = made(&with_settings(hashed));
    assert!(
        project
            .doubts
            .iter()
            .any(|doubt| doubt.contains("STORAGES"))
    );
}

#[test]
fn settings_that_cannot_be_read_are_told_with_the_reason_and_leave_hosts_open() {
    let folder = with_settings("");
    fs::write(folder.path().join("mysite/settings.py"), b"A = '\xff'").unwrap();
    let (_, config, project) = made(&folder);
    assert_eq!(config.hosts, [HostRule::Any]);
    assert!(
        project
            .doubts
            .iter()
            .any(|doubt| doubt.contains("not UTF-8"))
    );
}

#[test]
fn a_folder_that_holds_the_project_is_not_served() {
    for root in ["BASE_DIR", "BASE_DIR / 'mysite'", "'/'"] {
        let (text, config, project) = made(&with_settings(&format!(
            "BASE_DIR = Path(__file__).resolve().parent.parent\nMEDIA_URL = '/m/'\nMEDIA_ROOT = {root}\n"
        )));
        assert!(folders(&config).is_empty(), "{text}");
        assert!(
            project
                .doubts
                .iter()
                .any(|doubt| doubt.contains("MEDIA_ROOT")),
            "{root}"
        );
    }
}

#[test]
fn a_new_project_serves_what_django_serves() {
    let (text, config, _) = made(&with_settings(
        "DEBUG = True\nALLOWED_HOSTS = []\nSTATIC_URL = 'static/'\n",
    ));
    assert_eq!(config.hosts.len(), 3);
    assert!(text.contains("# path = \"/static/<path:file>\""));
}

#[test]
fn packages_for_streams_are_found() {
    let (text, config, project) = made(&with_settings(
        "INSTALLED_APPS = ['a']\nINSTALLED_APPS += ['django_eventstream']\nGRIP_URL = 'http://localhost:5561?iss=x&key=changeme'\n\
         EVENTSTREAM_REDIS = {'host': 'redis.test', 'port': 6380, 'db': 2}\n",
    ));
    assert!(config.upstreams[0].grip.is_some());
    let grip = config
        .listen
        .iter()
        .find(|listen| listen.name == "grip")
        .unwrap();
    assert_eq!(
        grip.address,
        Address::Tcp("127.0.0.1:5561".parse().unwrap())
    );
    assert!(
        text.contains("# url = \"redis://redis.test:6380/2\"")
            && text.contains("django-eventstream")
    );
    // A secret is nobody's business here.
    assert!(!text.contains("changeme") && project.doubts[0].contains("key"));
    let (text, config, _) = made(&with_settings(
        "REDIS_SSEQUEUE_CONNECTION_SETTINGS = {'location': 'localhost:6379', 'db': 0, 'password': 'hunter2'}\n",
    ));
    assert!(text.contains("# url = \"redis://localhost:6379/0\"\n# [[redis.listen]]\n# channel = \"sse\"\n# format = \"django-sse\""));
    assert!(!text.contains("hunter2") && config.redis.is_none());
    // What stands there as a comment is right as well.
    let lines = text.lines().skip_while(|line| *line != "# [redis]");
    let open: Vec<_> = lines.map(|line| line.trim_start_matches("# ")).collect();
    let open = open.join("\n");
    parse(&format!("{text}{open}"), &Process).unwrap();
}

#[test]
fn settings_may_be_spread_over_modules() {
    let folder = project_of(&[
        (
            "manage.py",
            "os.environ.setdefault(\n  \"DJANGO_SETTINGS_MODULE\", \"config.settings.local\"\n)",
        ),
        (
            "config/wsgi.py",
            "os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"config.settings.production\")",
        ),
        ("config/settings/__init__.py", ""),
        (
            "config/settings/base.py",
            "from pathlib import Path\nROOT = Path(__file__).resolve().parents[2]\nSTATIC_URL = '/s/'\nSTATIC_ROOT = str(ROOT / 'st')\nALLOWED_HOSTS = []\nfrom .production import *\n",
        ),
        (
            "config/settings/production.py",
            "from .base import *\nALLOWED_HOSTS += ['site.test']\n",
        ),
    ]);
    let (text, config, project) = made(&folder);
    assert_eq!(project.module, "config.settings.production");
    assert!(text.contains("config.wsgi"));
    let root = folder.path().canonicalize().unwrap();
    assert_eq!(folders(&config)[0].1, root.join("st"));
    assert_eq!(config.hosts, [HostRule::Exact("site.test".into())]);
    assert!(project.doubts[0].contains("config.settings.local"));
}

#[test]
fn odd_settings_break_nothing() {
    for settings in [
        "STATIC_URL = '/'\nSTATIC_ROOT = '/x'\n",
        "STATIC_URL = 'https://cdn.test/static/'\nSTATIC_ROOT = '/x'\n",
        "STATIC_URL = '/a?b/'\nSTATIC_ROOT = '/x'\n",
        "STATIC_URL = '/<int:a>/'\nSTATIC_ROOT = '/x'\n",
        "MEDIA_URL = '/m/'\nMEDIA_ROOT = '/x\\n[server]'\n",
        "ALLOWED_HOSTS = ['a b', 'x:80', '*.y', 'good.test']\n",
        "ALLOWED_HOSTS = 'site.test'\n",
        "GRIP_URL = 'http://127.0.0.1:9090'\n",
        "GRIP_URL = 'not a url'\n",
        "SESSION_COOKIE_NAME = 'a b'\n",
        "STATIC_URL = '/m/'\nSTATIC_ROOT = '/x'\nMEDIA_URL = '/m/'\nMEDIA_ROOT = '/y'\n",
    ] {
        made(&with_settings(settings));
    }
    made(&project_of(&[("manage.py", "")]));
    made(&project_of(&[(
        "manage.py",
        "DJANGO_SETTINGS_MODULE = 'no.where'",
    )]));
    made(&project_of(&[(
        "manage.py",
        "DJANGO_SETTINGS_MODULE', '../../etc/x'",
    )]));
}

#[test]
fn nothing_is_written_over() {
    let folder = with_settings("");
    let config = folder.path().join("gateway.toml");
    let args = |django: Option<&Path>| InitArgs {
        django: django.map(Path::to_owned),
        config: config.clone(),
    };
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(matches!(
        init(&args(Some(elsewhere.path()))),
        Err(Unwritten::NoProject(_))
    ));
    let nowhere = elsewhere.path().join("x");
    assert!(matches!(
        init(&args(Some(&nowhere))),
        Err(Unwritten::Folder { .. })
    ));
    assert!(!config.exists());
    init(&args(Some(folder.path()))).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    assert!(matches!(init(&args(None)), Err(Unwritten::There(_))));
    assert!(matches!(write(&config, "other"), Err(Unwritten::There(_))));
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    let unwritable = nowhere.join("gateway.toml");
    assert!(matches!(
        write(&unwritable, ""),
        Err(Unwritten::File { .. })
    ));
}
