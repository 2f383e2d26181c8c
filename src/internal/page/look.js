// What is looked at every two seconds: the numbers, and the lists of channels and streams.

const upstreamList = new List(
  "upstream-list",
  (one) => one.name,
  [(one) => one.name, (one) => one.in_flight, (one) => one.waiting, (one) => one.servers_up],
);

const channelList = new List(
  "channel-list",
  (one) => one.name,
  [
    (one) => one.name,
    (one) => count(one.streams),
    (one) => count(one.events),
    (one) => one.rate,
    (one) => one.last_id ?? "–",
  ],
  [
    { label: "Tap", act: ({ name }) => fill("tap-form", { channel: name, event: "" }) },
    { label: "History", act: ({ name }) => fill("history-form", { channel: name }) },
    { label: "Kick", act: ({ name }) => kick({ channel: name }, `the streams on ${name}`) },
    { label: "End", act: ({ name }) => end(name) },
  ],
);

const streamList = new List(
  "stream-list",
  (one) => one.id,
  [
    (one) => one.id,
    (one) => one.user ?? "–",
    (one) => one.channels.join(" "),
    (one) => one.route,
    (one) => one.address,
    (one) => moment(one.since),
    (one) => count(one.sent),
    (one) => count(one.lag),
  ],
  [
    { label: "Kick", forAll: true, act: ({ id }) => kick({ stream: id }, `the stream ${id}`) },
    {
      label: "Kick user",
      forAll: true,
      fits: ({ user }) => user !== null,
      act: ({ user }) => kick({ user }, `all streams of the user ${user}`),
    },
  ],
);

function entry({ when, where, event, id, data }) {
  const item = document.createElement("li");
  const line = [when, where, event, id].filter(Boolean).join("  ");
  const rest = data.length - SHOWN;
  const text = rest > 0 ? `${data.slice(0, SHOWN)}… (${count(rest)} characters more)` : data;
  item.append(make("p", line), make("pre", text));
  return item;
}

const isPaused = () => document.hidden || needsToken;
const showPause = () => showState("paused", "Paused");

// The page says so as well, to whoever wants to know when it will change no more.
function setLooking(value) {
  looking = value;
  document.body.dataset.looking = String(value);
}

async function look() {
  if (looking) {
    again = true;
    return;
  }
  clearTimeout(timer);
  if (isPaused()) return;
  setLooking(true);
  again = false;
  try {
    await lookAtAll();
  } catch (error) {
    before = undefined;
    showState("away", needsToken ? "A token is needed" : told(error));
  }
  setLooking(false);
  if (document.hidden) showPause();
  if (!isPaused()) timer = setTimeout(look, again ? 0 : PAUSE);
}

async function lookAtAll() {
  const stats = await read("/v1/stats");
  write($("version"), `${stats.version}, up ${period(stats.uptime_seconds)}, at ${stats.last_id}`);
  for (const name of ["streams", "channels", "events"]) write($(`n-${name}`), count(stats[name]));
  showMetrics(await (await ask(metricsAt)).text());
  await lookAtChannels(stats.channels > MOST_CHANNELS);
  await lookAtStreams();
  // It is 503 also for a gateway that begins or ends, which is no failure of the look.
  const ready = await send("/readyz");
  showState(ready.ok ? "ready" : "away", ready.ok ? "Ready" : "Not ready: it begins or ends");
}

function showMetrics(text) {
  const sums = { connections: 0, requests: 0, published: 0, delivered: 0 };
  const names = {
    tidegate_connections_open: "connections",
    tidegate_requests_total: "requests",
    tidegate_events_published_total: "published",
    tidegate_events_delivered_total: "delivered",
  };
  const upstreams = new Map();
  for (const line of text.split("\n")) {
    const found = /^(tidegate_[a-z_]+)(?:\{([^ ]*)\})? ([^ ]+)$/.exec(line);
    if (!found) continue;
    const [, name, labels = "", value] = found;
    if (Object.hasOwn(names, name)) sums[names[name]] += Number(value);
    const of = /^tidegate_upstream_(in_flight|waiting|servers_up)$/.exec(name);
    const upstream = /^upstream="([^"]*)"$/.exec(labels)?.[1];
    if (!of || upstream === undefined) continue;
    const one = upstreams.get(upstream) ?? { name: upstream, in_flight: 0, waiting: 0, servers_up: 0 };
    one[of[1]] = Number(value);
    upstreams.set(upstream, one);
  }
  upstreamList.show([...upstreams.values()]);
  write($("n-connections"), count(sums.connections));
  const now = performance.now();
  for (const name of ["requests", "published", "delivered"]) {
    const grown = before ? sums[name] - before.sums[name] : -1;
    // A counter that is smaller now is of another life of the gateway.
    const rate = grown < 0 ? "–" : ((grown / (now - before.now)) * 1000).toFixed(1);
    write($(`n-${name}`), rate);
  }
  before = { now, sums };
}

const given = (form) => Object.fromEntries([...new FormData($(form))].map(([name, value]) => [name, value.trim()]));

async function lookAtChannels(areMany) {
  const { match } = given("channels-form");
  if (areMany && !(match && channelsWanted)) {
    if (!match) channelList.show([]);
    const what = match ? "press Show to look again" : "name some by a pattern";
    write($("channels-note"), `More than ${count(MOST_CHANNELS)} channels: ${what}.`);
    return;
  }
  channelsWanted = false;
  try {
    const { channels } = await read(withQuery("/v1/channels", { match }));
    channels.sort((one, other) => other.streams - one.streams || other.rate - one.rate);
    channelList.show(channels);
    write($("channels-note"), listed(channels.length, "those with the most streams"));
  } catch (error) {
    unlessRefused("channels-note", channelList, error);
  }
}

async function lookAtStreams() {
  const { user, channel } = given("streams-form");
  if (isNarrow) return lookAtPresence(channel);
  try {
    const { streams } = await read(withQuery("/v1/streams", { user, channel, limit: String(MOST_STREAMS) }));
    streamList.show(streams);
    const lags = streams.map(({ lag }) => lag);
    const behind = lags.filter((lag) => lag > 0).length;
    write($("n-lag"), count(lags.reduce((most, lag) => Math.max(most, lag), 0)));
    const note = listed(streams.length, "those that are open longest", MOST_STREAMS);
    write($("streams-note"), behind ? `${note} Behind: ${count(behind)} of them.` : note);
  } catch (error) {
    unlessRefused("streams-note", streamList, error);
    if (error.status !== 403) return;
    isNarrow = true;
    document.body.classList.add("narrow");
    streamList.show([]);
    write($("n-lag"), "–");
    write(
      $("streams-note"),
      "This token is good for some channels: it does not list all streams, kick a user or a stream, or reload. Name one channel.",
    );
  }
}

// Who is on one channel is what a narrow token may see; it has no limit, so it is asked for by hand alone.
async function lookAtPresence(channel) {
  if (!channel || !streamsWanted) return;
  streamsWanted = false;
  try {
    const { streams } = await read(`${channelAt(channel)}/streams`);
    streamList.show(streams);
    write($("streams-note"), `As they were when you pressed Show. ${listed(streams.length, "those that are open longest")}`);
  } catch (error) {
    unlessRefused("streams-note", streamList, error);
  }
}

function listed(length, which, most = Infinity) {
  const all = length >= most ? `${count(length)} or more` : count(length);
  return length > ROWS ? `${count(ROWS)} of ${all} are listed, ${which}.` : `${count(length)} listed.`;
}

// A refusal belongs beside its list, and the rest of the page goes on; anything else ends the look.
function unlessRefused(note, list, error) {
  if (!(error instanceof Refused) || needsToken) throw error;
  list.show([]);
  write($(note), told(error));
}
