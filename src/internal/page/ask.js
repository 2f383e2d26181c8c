// The console: it asks what an internal listener knows, every two seconds while somebody looks, and does by its endpoints
// what can be done by hand.
//
// What others named or wrote (channels, users, data) becomes text by `textContent` alone; the policy of the page allows
// nothing else. Bounds: one request for the looks, one for what somebody does, one tap; lists end where is said below.

const PAUSE = 2_000; // between two looks, in milliseconds
const PATIENCE = 15_000; // for an answer
const MOST_CHANNELS = 5_000; // a gateway with more is asked for some by a pattern, and only when somebody wants them
const MOST_STREAMS = 1_000; // that are looked at for what they lag
const ROWS = 200; // of a table
const EVENTS = 200; // of a list, and of a page of history
const SHOWN = 4_000; // characters of the data of one
const LONGEST = 16 << 20; // characters of one event of the tap
const TOKEN = "tidegate-token"; // its name in the storage of this tab

const $ = (id) => document.getElementById(id);
const metricsAt = location.origin + document.documentElement.dataset.metrics;

let needsToken = false;
let isNarrow = false; // the token is good for some channels only
let looking = false;
let again = false; // somebody wants another look, at once
let timer;
let before; // the counters at the last look
let channelsWanted = true;
let streamsWanted = true;
let tapping; // ends the open tap
let nextPage; // of the history

// -- asking -------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, problem) {
    super([problem.title, problem.detail].filter(Boolean).join(": ") || `The gateway answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

class Unanswered extends Error {}

async function send(path, { signal = AbortSignal.timeout(PATIENCE), ...more } = {}) {
  try {
    return await fetch(path, { ...more, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    throw new Unanswered(error.name === "TimeoutError" ? "The gateway did not answer in time" : "The gateway does not answer");
  }
}

async function ask(path, { method = "GET", json, signal } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = json === undefined ? undefined : JSON.stringify(json);
  const answer = await send(path, { method, headers, body, signal });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  // Unless another one was given meanwhile.
  if (answer.status === 401 && token === sessionStorage.getItem(TOKEN)) askForToken(problem.detail ?? "");
  throw new Refused(answer.status, problem);
}

const read = async (path, more) => (await ask(path, more)).json();
const channelAt = (name) => `/v1/channels/${encodeURIComponent(name)}`;

function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function told(error) {
  if (!(error instanceof Refused)) return error.message;
  const { file, hint, problems = [] } = error.problem;
  const mistakes = problems.map(
    ({ line, column, key, message, hint }) =>
      `${file}:${line}:${column}: ${key ? `${key}: ` : ""}${message}${hint ? ` (${hint})` : ""}`,
  );
  return [hint ? `${error.message} (${hint})` : error.message, ...mistakes].join("\n");
}

// -- showing ------------------------------------------------------------------------------------

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(name, text = "", className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function say(text, isBad = false) {
  write($("said"), text);
  $("said").classList.toggle("bad", isBad);
}

function showState(state, text) {
  $("state").dataset.state = state;
  write($("state"), text);
}

const count = (number) => number.toLocaleString("en");
const moment = (text) => text.slice(0, 19).replace("T", " ");

function period(seconds) {
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

// A table whose rows stay what they are while their items do, so that a look takes nobody's focus or selection away.
class List {
  #rows = new Map();

  constructor(id, key, cells, actions = []) {
    this.body = $(id).tBodies[0];
    this.key = key;
    this.cells = cells;
    this.actions = actions;
  }

  #row(name) {
    const row = document.createElement("tr");
    row.append(...this.cells.map(() => document.createElement("td")));
    if (!this.actions.length) return row;
    const buttons = this.actions.map(({ label, act, forAll }) => {
      const button = make("button", label, forAll ? "for-all" : "");
      button.type = "button";
      button.setAttribute("aria-label", `${label}: ${name}`);
      button.addEventListener("click", () => act(row.item));
      return button;
    });
    const cell = make("td", "", "do");
    cell.append(...buttons);
    row.append(cell);
    return row;
  }

  show(items) {
    const kept = new Map();
    for (const item of items.slice(0, ROWS)) {
      const key = this.key(item);
      const row = this.#rows.get(key) ?? this.#row(key);
      row.item = item;
      this.cells.forEach((cell, at) => write(row.cells[at], String(cell(item))));
      this.actions.forEach(({ fits }, at) => {
        if (fits) row.cells[this.cells.length].children[at].hidden = !fits(item);
      });
      kept.set(key, row);
    }
    for (const [key, row] of this.#rows) if (!kept.has(key)) row.remove();
    this.#rows = kept;
    const focused = document.activeElement;
    let place = this.body.firstElementChild;
    for (const row of kept.values()) {
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
    }
    // A row that has moved has lost it.
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  }
}
