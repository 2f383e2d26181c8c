//! One file for each kind of mistake, and the line that is told about it.

use super::{SHORT, problems};

/// `SHORT` with one text replaced, and the whole line that must be told.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("version = 1\n", "", "1:1: version: \"version\" is missing"),
    (
        "version = 1",
        "version = 2",
        "1:11: version: a version this program does not know (it knows 1)",
    ),
    (
        "proxy = \"django\"",
        "proxy = \"djngo\"",
        "8:9: route[0].proxy: unknown upstream \"djngo\" (did you mean \"django\"?)",
    ),
    (
        "proxy = \"django\"",
        "proxi = \"django\"",
        "8:1: route[0].proxi: unknown key \"proxi\" (did you mean \"proxy\"?)",
    ),
    (
        "[[route]]",
        "[grip]\nkey = \"x\"\n[[route]]",
        "6:2: grip: unknown key \"grip\" (it is a key of [upstream.NAME])",
    ),
    (
        "[[route]]",
        "[server]\nper_ip = 3\n[sse]\nper_user = 2\n[[route]]",
        "7:1: server.per_ip: unknown key \"per_ip\" (it is a key of [sse])",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", publish = true }",
        "8:26: route[0].proxy.publish: unknown key \"publish\" (it is a key of [upstream.NAME])",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = \"other\" }",
        "8:15: route[0].sse.ask: unknown upstream \"other\" (there are: django)",
    ),
    (
        "proxy = \"django\"",
        "sse = { heartbeat = \"1s\" }",
        "8:7: route[0].sse: it is not said who may listen (one of ask = \"django\", token = { … } and public = true)",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = \"django\", public = true }",
        "8:34: route[0].sse.public: `public = true` beside `ask` or `token` (who may listen is said once)",
    ),
    (
        "proxy = \"django\"",
        "sse = { channels = [\"news\"] }",
        "8:20: route[0].sse.channels: `channels` alone do not say who may listen (add public = true if that is everybody)",
    ),
    (
        "proxy = \"django\"",
        "sse = { public = true }",
        "8:18: route[0].sse.public: a public route names its `channels` (as in channels = [\"news\"], public = true)",
    ),
    (
        "proxy = \"django\"",
        "sse = { public = true, channels = [] }",
        "8:35: route[0].sse.channels: a stream without a channel",
    ),
    (
        "proxy = \"django\"",
        "sse = { public = true, channels = [\"ü-{ret}\"] }",
        "8:37: route[0].sse.channels[0]: a channel name has only letters, digits and _ . : @ / -, not 'ü'",
    ),
    (
        "proxy = \"django\"",
        "sse = { public = true, channels = [\"a-{ret}\"] }",
        "8:40: route[0].sse.channels[0]: the path has no \"ret\" (did you mean \"rest\"?)",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = { to = \"django\", at_once = 0 } }",
        "8:42: route[0].sse.ask.at_once: expected a whole number from 1 to 100000",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = \"django\", heartbeat = \"0s\" }",
        "8:37: route[0].sse.heartbeat: zero makes no sense here",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = \"django\", history = { events = 0 } }",
        "8:46: route[0].sse.history.events: expected a whole number from 1 to 1000000",
    ),
    (
        "proxy = \"django\"",
        "internal = true\ncompress = false\nstatic = { root = \"/\" }",
        "9:12: route[0].compress: `compress` does nothing where `internal = true` (put it into the route whose answers lead here)",
    ),
    (
        "proxy = \"django\"",
        "sse = { ask = \"django\", history_memory = \"1MiB\" }",
        "8:25: route[0].sse.history_memory: unknown key \"history_memory\"",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = 7 }",
        "8:35: route[0].proxy.record: expected true or false, found an integer",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = { replay = \"old\" } }",
        "8:46: route[0].proxy.record.replay: \"old\" is not known here (there are: all, new)",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = { per = \"users\" } }",
        "8:43: route[0].proxy.record.per: \"users\" is not known here (did you mean \"user\"?)",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = { linger = 60 } }",
        "8:46: route[0].proxy.record.linger: expected a string, found an integer (write it with its unit, as in \"15s\")",
    ),
    (
        "proxy = \"django\"",
        "proxy = { to = \"django\", record = { lingers = \"60s\" } }",
        "8:37: route[0].proxy.record.lingers: unknown key \"lingers\" (did you mean \"linger\"?)",
    ),
    (
        "proxy = \"django\"",
        "proxy = \"django\"\nsse = { ask = \"django\" }",
        "9:7: route[0].sse: a route has one of `proxy` and `sse`, not both",
    ),
    (
        "\nproxy = \"django\"",
        "",
        "6:1: route[0]: a route leads somewhere (one of proxy, sse, static, redirect, respond)",
    ),
    (
        "proxy = \"django\"",
        "static = { root = \"\" }",
        "8:19: route[0].static.root: the root is a folder",
    ),
    (
        "proxy = \"django\"",
        "static = { precompressed = true }",
        "8:10: route[0].static.root: \"root\" is missing",
    ),
    (
        "proxy = \"django\"",
        "static = { root = \"a\", index = \"../x\" }",
        "8:32: route[0].static.index: an index is the name of one file (as in \"index.html\")",
    ),
    (
        "proxy = \"django\"",
        "static = { root = \"a\", inline = [\"image\"] }",
        "8:34: route[0].static.inline[0]: \"image\": a media type is two words and a slash, as in \"application/pdf\" or \"image/*\"",
    ),
    (
        "path = \"/<path:rest>\"\nproxy = \"django\"",
        "path = \"/<slug:a>/<path:b>\"\nstatic = { root = \"a\" }",
        "8:10: route[0].static: which file is meant is said by one variable, at the end of the path (as in path = \"/static/<path:file>\")",
    ),
    (
        "proxy = \"django\"",
        "proxy = \"django\"\ninternal = true",
        "9:12: route[0].internal: `internal` is for routes with `static` (X-Accel-Redirect leads to files only)",
    ),
    (
        "<path:rest>",
        "é<slg:x>",
        "7:12: route[0].path: unknown converter \"slg\" (did you mean \"slug\"?)",
    ),
    (
        "path = \"/<path:rest>\"",
        "",
        "6:1: route[0].path: \"path\" is missing",
    ),
    (
        "proxy = \"django\"\n",
        "proxy = \"django\"\n[[route]]\npath = \"/a/\"\nproxy = \"django\"",
        "10:8: route[1].path: never reached, for \"/<path:rest>\" answers first (the first route that fits answers: put this one before it)",
    ),
    (
        "address = \"127.0.0.1:8080\"",
        "",
        "2:1: listen.http.address: \"address\" is missing",
    ),
    (
        "127.0.0.1:8080",
        ":8080",
        "3:11: listen.http.address: \":8080\" is no address to listen on (did you mean \"0.0.0.0:8080\"?)",
    ),
    (
        "127.0.0.1:8080",
        "systemd:",
        "3:11: listen.http.address: \"systemd:\" names no socket of systemd (as in \"systemd:http\" for FileDescriptorName=http)",
    ),
    (
        "[upstream.django]",
        "tls = \"main\"\n[upstream.django]",
        "4:7: listen.http.tls: unknown certificate \"main\" (there is no [tls.…])",
    ),
    (
        "[upstream.django]",
        "role = \"Internal\"\n[upstream.django]",
        "4:8: listen.http.role: \"Internal\" is not known here (did you mean \"internal\"?)",
    ),
    (
        "[upstream.django]",
        "[listen.b]\naddress = \"0.0.0.0:8080\"\n[upstream.django]",
        "5:11: listen.b.address: 0.0.0.0:8080 is taken by `listen.http` (0.0.0.0 is every address of this machine)",
    ),
    (
        "[upstream.django]",
        "[listen.b]\naddress = \"0.0.0.0:9\"\nrole = \"internal\"\n[upstream.django]",
        "5:11: listen.b.address: an internal listener that others can reach needs [publish] tokens (listen on 127.0.0.1 or on a unix socket, set tokens, or use tls with client_ca)",
    ),
    (
        "[upstream.django]",
        "role = \"internal\"\n[upstream.django]",
        "1:1: listen: there is no public listener (as in [listen.http] with address = \"127.0.0.1:8080\")",
    ),
    (
        "\"127.0.0.1:8000\"",
        "\"http://127.0.0.1:8000/\"",
        "5:12: upstream.django.servers[0]: \"http://127.0.0.1:8000/\" is no server (did you mean \"127.0.0.1:8000\"?)",
    ),
    (
        "[\"127.0.0.1:8000\"]",
        "\"127.0.0.1:8000\"",
        "5:11: upstream.django.servers: expected a list, found a string (write [ … ])",
    ),
    (
        "[\"127.0.0.1:8000\"]",
        "[]",
        "5:11: upstream.django.servers: an upstream has at least one server (as in [\"127.0.0.1:8000\"] or [\"unix:/run/gunicorn.sock\"])",
    ),
    (
        "127.0.0.1:8000",
        "x${MISSING}",
        "5:14: upstream.django.servers[0]: the environment variable MISSING is not set (or give a default: ${MISSING:-…})",
    ),
    (
        "[[route]]",
        "connect_timeout = 2\n[[route]]",
        "6:19: upstream.django.connect_timeout: expected a string, found an integer (write it with its unit, as in \"15s\")",
    ),
    (
        "[[route]]",
        "retry_for = \"2 weeks\"\n[[route]]",
        "6:13: upstream.django.retry_for: \"2 weeks\": a duration is a whole number and a unit: ms, s, m, h, d or y, as in \"15s\"",
    ),
    (
        "[[route]]",
        "buffer_response = 2\n[[route]]",
        "6:19: upstream.django.buffer_response: expected a string, found an integer (write it with its unit, as in \"256KiB\")",
    ),
    (
        "[upstream.django]",
        "[server]\ntemp = \"/no/such/place\"\n[upstream.django]",
        "5:8: server.temp: \"/no/such/place\" is no directory",
    ),
    (
        "[[route]]",
        "servers = []\n[[route]]",
        "6:1: duplicate key (tables of a list are written [[route]], [[redis.listen]])",
    ),
    (
        "[[route]]",
        "heartbeat = 15s\n[[route]]",
        "6:13: string values must be quoted, expected literal string",
    ),
    (
        "[upstream.django]",
        "[sever]\n[upstream.django]",
        "4:2: sever: unknown key \"sever\" (did you mean \"server\"?)",
    ),
    (
        "[upstream.django]",
        "[upstream.\"a b\"]\nservers = [\"a:1\"]\n[upstream.django]",
        "4:11: upstream.a b: a name has letters, digits, \"_\" and \"-\"",
    ),
    (
        "[upstream.django]",
        "[server]\nhosts = [\"*.example.com\"]\n[upstream.django]",
        "5:10: server.hosts[0]: \"*.example.com\" is not how a host is written (did you mean \".example.com\"?)",
    ),
    (
        "[upstream.django]",
        "[server]\nhosts = []\n[upstream.django]",
        "5:9: server.hosts: no host would be served ([\"*\"] lets every host in)",
    ),
    (
        "[upstream.django]",
        "[server]\ndrain = \"1s\"\ndrain_spread = \"2s\"\n[upstream.django]",
        "6:16: server.drain_spread: longer than `drain` (streams must have ended when the drain is over)",
    ),
    (
        "[upstream.django]",
        "[trust]\nproxies = [\"10.0.0.0/33\"]\n[upstream.django]",
        "5:12: trust.proxies[0]: \"10.0.0.0/33\" is no network (as in \"10.0.0.0/8\", \"10.1.2.3\", \"file:/etc/tidegate/proxies.txt\", or \"unix:\" for unix sockets)",
    ),
    (
        "[upstream.django]",
        "[sse]\nretry = \"6s..2s\"\n[upstream.django]",
        "5:9: sse.retry: \"6s..2s\": a range goes from the shorter to the longer, as in \"2s..6s\"",
    ),
    (
        "[upstream.django]",
        "[sse]\nhistory = { event = 1 }\n[upstream.django]",
        "5:13: sse.history.event: unknown key \"event\" (did you mean \"events\"?)",
    ),
    (
        "[upstream.django]",
        "[limits]\nbody = \"10mb\"\n[upstream.django]",
        "5:8: limits.body: \"10mb\": a size is a whole number and a unit: B, KiB, MiB, GiB, kB, MB or GB, as in \"256KiB\"",
    ),
    (
        "[upstream.django]",
        "[publish]\nmax_event = \"1GiB\"\n[upstream.django]",
        "5:13: publish.max_event: an event of this size is more than `sse.history_memory` (that is 256MiB)",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", secret = \"${EMPTY}\" }]\n[upstream.django]",
        "5:34: publish.tokens[0].secret: a secret must not be empty",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", secret = \"x\" }, { name = \"a\", secret = \"y\" }]\n[upstream.django]",
        "5:50: publish.tokens[1].name: there are two tokens called \"a\"",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\" }]\n[upstream.django]",
        "5:11: publish.tokens[0].secret: \"secret\" is missing (or webhook = \"whsec_…\", for who signs)",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", webhook = \"w\" }]\n[upstream.django]",
        "5:35: publish.tokens[0].webhook: a webhook secret begins with \"whsec_\"",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", webhook = \"whsec_s3cret!\" }]\n[upstream.django]",
        "5:35: publish.tokens[0].webhook: what follows \"whsec_\" must be base64",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", webhook = \"whsec_c2hvcnQ=\" }]\n[upstream.django]",
        "5:35: publish.tokens[0].webhook: the key of a webhook secret has at least 24 bytes, this one has 5",
    ),
    (
        "[upstream.django]",
        "[publish]\nidempotency = \"0s\"\n[upstream.django]",
        "5:15: publish.idempotency: zero makes no sense here",
    ),
    (
        "[upstream.django]",
        "[publish]\ntokens = [{ name = \"a\", secret = \"x\", rate = \"10/d\" }]\n[upstream.django]",
        "5:46: publish.tokens[0].rate: \"10/d\": a rate is a whole number, a slash and s, m or h, as in \"10/m\"",
    ),
    (
        "[upstream.django]",
        "[metrics]\npath = \"metrics\"\n[upstream.django]",
        "5:8: metrics.path: \"metrics\" is no path (as in \"/metrics\")",
    ),
    (
        "[upstream.django]",
        "[log]\naccess = \"-\"\n[upstream.django]",
        "5:10: log.access: expected a table, found a string (as in { to = \"/var/log/tidegate/access.log\" }, or to = \"-\" for standard output)",
    ),
    (
        "[upstream.django]",
        "[log]\naccess = { format = \"json\" }\n[upstream.django]",
        "5:10: log.access.to: \"to\" is missing",
    ),
    (
        "[upstream.django]",
        "[log]\naccess = { to = \"${EMPTY}\" }\n[upstream.django]",
        "5:17: log.access.to: an access log goes somewhere (as in { to = \"/var/log/tidegate/access.log\" }, or to = \"-\" for standard output)",
    ),
    (
        "[upstream.django]",
        "[log]\naccess = { to = \"-\", format = \"comined\" }\n[upstream.django]",
        "5:31: log.access.format: \"comined\" is not known here (did you mean \"combined\"?)",
    ),
    (
        "[upstream.django]",
        "[log]\naccess = { to = \"-\", fromat = \"json\" }\n[upstream.django]",
        "5:22: log.access.fromat: unknown key \"fromat\" (did you mean \"format\"?)",
    ),
    (
        "[upstream.django]",
        "[redis]\nurl = \"redis://x\"\nshare = true\n[upstream.django]",
        "6:9: redis.share: `share` is not in this version yet (only false, its default)",
    ),
];

#[test]
fn each_mistake_is_told_once_with_its_place_and_a_hint() {
    for (old, new, expected) in MISTAKES {
        assert!(SHORT.contains(old), "{old}");
        assert_eq!(problems(&SHORT.replacen(old, new, 1)), [*expected], "{new}");
    }
}
