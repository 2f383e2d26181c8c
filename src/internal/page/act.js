// What somebody does: kicks, a reload, an event, the history and the tap of channels, the token. It ends with the beginning.

// -- doing --------------------------------------------------------------------------------------

function confirmed(question, verb) {
  const dialog = $("confirm");
  write($("confirm-text"), question);
  write($("confirm-yes"), verb);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function attempt(what) {
  try {
    say(await what());
  } catch (error) {
    say(told(error), true);
  }
  look();
}

async function kick(whom, spoken) {
  if (!(await confirmed(`End ${spoken}? Browsers come back, and Django is asked anew.`, "Kick"))) return;
  await attempt(async () => {
    const { ended } = await read("/v1/kick", { method: "POST", json: whom });
    return `Ended streams: ${ended}`;
  });
}

async function end(channel) {
  if (!(await confirmed(`End all streams on ${channel} and forget its history?`, "End"))) return;
  await attempt(async () => {
    const { ended } = await read(channelAt(channel), { method: "DELETE" });
    return `The history of ${channel} is gone. Ended streams: ${ended}`;
  });
}

async function reload() {
  const question = "Read the configuration file anew? One with mistakes changes nothing.";
  if (!(await confirmed(question, "Reload"))) return;
  await attempt(async () => {
    const { changed, restart } = await read("/v1/reload", { method: "POST" });
    const parts = [changed.length ? `In force now: ${changed.join(", ")}` : "Nothing has changed"];
    if (restart.length) parts.push(`After a restart only: ${restart.join(", ")}`);
    return parts.join("\n");
  });
}

async function publish({ channel, event, keep }) {
  const { data } = $("publish-form").elements;
  const json = { channel, data: data.value, event: event || null, keep: keep ? "all" : "none" };
  await attempt(async () => {
    const { id, streams } = await read("/v1/events", { method: "POST", json });
    return `Published ${id}, open streams: ${streams}`;
  });
}

async function showHistory(channel, after) {
  nextPage = undefined;
  $("history-next").disabled = true;
  try {
    const page = await read(withQuery(`${channelAt(channel)}/events`, { after, limit: String(EVENTS) }));
    const items = page.events.map(({ at, event, id, data }) => entry({ when: moment(at), event, id, data }));
    $("history-list").replaceChildren(...items);
    $("history-list").scrollTop = 0;
    const what = items.length ? `${count(items.length)} events` : after ? "Nothing more" : "Nothing is kept";
    write($("history-note"), `${what} of ${channel}.`);
    nextPage = page.next === null ? undefined : { channel, after: page.next };
    $("history-next").disabled = !nextPage;
  } catch (error) {
    $("history-list").replaceChildren();
    write($("history-note"), told(error));
  }
}

// Puts a name into another part's form, and has that do its work.
function fill(form, values) {
  for (const [name, value] of Object.entries(values)) $(form).elements[name].value = value;
  $(form).requestSubmit();
  $(form).scrollIntoView({ block: "nearest" });
  $(form).elements[0].focus({ preventScroll: true });
}

// -- the tap ------------------------------------------------------------------------------------

// An EventSource cannot show a token, so the stream is read here.
async function tap({ channel, event }) {
  tapping?.abort();
  const own = new AbortController();
  tapping = own;
  const waiting = [];
  let seen = 0;
  let isDrawing = false;
  $("tap-list").replaceChildren();
  const draw = () => {
    isDrawing = false;
    if (tapping !== own) return;
    $("tap-list").prepend(...waiting.splice(0).reverse().map(entry));
    while ($("tap-list").childElementCount > EVENTS) $("tap-list").lastElementChild.remove();
    write($("tap-note"), `Listening to ${channel || "all channels"}: ${count(seen)} events so far.`);
  };
  // As often as the screen is drawn, and not at all while nobody sees it: only the newest wait then.
  const show = (one) => {
    waiting.push(one);
    if (waiting.length > EVENTS) waiting.shift();
    if (!isDrawing) requestAnimationFrame(draw);
    isDrawing = true;
  };
  write($("tap-note"), "Asking");
  $("tap-stop").disabled = false;
  let ending = "The tap has ended.";
  try {
    const answer = await ask(withQuery("/v1/tap", { channel, event }), { signal: own.signal });
    draw();
    for await (const [name, data] of events(answer.body)) {
      const when = new Date().toLocaleTimeString("en-GB");
      if (name === "reset") show({ when, event: "reset", data: "Some events in between were missed." });
      if (name !== "event") continue;
      const one = JSON.parse(data);
      const user = one.user === null ? [] : [`user ${one.user}`];
      seen += 1;
      show({ when, where: [...one.channels, ...user].join(" "), event: one.event, id: one.id, data: one.data });
    }
  } catch (error) {
    if (!own.signal.aborted) ending = `${told(error)}.`;
  }
  if (tapping !== own) return;
  draw();
  tapping = undefined;
  $("tap-stop").disabled = true;
  write($("tap-note"), own.signal.aborted ? `Stopped after ${count(seen)} events.` : ending);
}

// The events of a body, each with its name and data. The gateway ends each line with LF.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      if (rest.length > LONGEST) throw new Error("An event was too long to be shown");
      for (const block of blocks) {
        const lines = block.split("\n").map((line) => /^(event|data): ?(.*)$/s.exec(line) ?? []);
        const data = lines.filter(([, field]) => field === "data").map(([, , value]) => value);
        const name = lines.find(([, field]) => field === "event")?.[2] ?? "message";
        if (data.length) yield [name, data.join("\n")];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// -- the token ----------------------------------------------------------------------------------

function askForToken(why) {
  needsToken = true;
  sessionStorage.removeItem(TOKEN);
  tapping?.abort();
  for (const list of [channelList, streamList, upstreamList]) list.show([]);
  write($("token-text"), why);
  $("forget").hidden = true;
  $("sign").hidden = false;
  if (!$("confirm").open && !$("token").open) $("token").showModal();
}

function useToken({ token }) {
  // No other can be in a field of a request.
  if (!/^[\x20-\x7e]+$/.test(token)) {
    write($("token-text"), "A token has no such characters.");
    return;
  }
  sessionStorage.setItem(TOKEN, token);
  $("token-form").reset();
  $("token").close();
  needsToken = false;
  isNarrow = false;
  channelsWanted = streamsWanted = true;
  document.body.classList.remove("narrow");
  showToken();
  look();
}

// A link cannot show a token.
function showToken() {
  const has = sessionStorage.getItem(TOKEN) !== null;
  $("sign").hidden = true;
  $("forget").hidden = !has;
  $("document").hidden = has;
}

// -- the beginning ------------------------------------------------------------------------------

function onSubmit(form, run) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    run(given(form));
  });
}

function onClick(id, run) {
  $(id).addEventListener("click", run);
}

onSubmit("channels-form", () => {
  channelsWanted = true;
  look();
});
onSubmit("streams-form", () => {
  streamsWanted = true;
  look();
});
onSubmit("tap-form", tap);
onSubmit("history-form", ({ channel }) => showHistory(channel));
onSubmit("publish-form", publish);
onSubmit("token-form", useToken);
onClick("tap-stop", () => tapping?.abort());
onClick("history-next", () => nextPage && showHistory(nextPage.channel, nextPage.after));
onClick("reload", reload);
onClick("sign", () => $("token").showModal());
onClick("confirm-yes", () => $("confirm").close("yes"));
onClick("confirm-no", () => $("confirm").close("no"));
onClick("forget", () => {
  sessionStorage.removeItem(TOKEN);
  // Whatever was shown by it goes, too.
  location.reload();
});
document.addEventListener("visibilitychange", () => (document.hidden ? showPause() : look()));
$("metrics").href = metricsAt;
showToken();
look();
