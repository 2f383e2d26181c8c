"use strict";

// The stream of a page is at events/ below the page. It goes on from the place in the log at which the
// page was rendered (the gateway tells Django in SSE-Cursor), so nothing falls between page and stream.
let cursor = document.body.dataset.cursor;

const STATES = ["connecting", "open", "closed"]; // by readyState

function showState(source) {
  const state = document.getElementById("state");
  state.dataset.readyState = source.readyState;
  state.textContent = `${STATES[source.readyState]} (readyState ${source.readyState})`;
}

// Opens the stream; handlers are {event name: function(data, message)}.
// The browser reconnects by itself and sends Last-Event-ID; a 204 makes it stop.
function listen(handlers) {
  const query = cursor ? `?last-event-id=${encodeURIComponent(cursor)}` : "";
  const source = new EventSource(`events/${query}`);
  // One handler after the other: events that arrive while `reset` fetches the state wait for it.
  let turn = Promise.resolve();
  for (const [event, handler] of Object.entries(handlers)) {
    source.addEventListener(event, (message) => {
      cursor = message.lastEventId || cursor;
      turn = turn.then(() => handler(JSON.parse(message.data), message)).catch(console.error);
    });
  }
  source.onopen = source.onerror = () => showState(source);
  showState(source);
  return source;
}

// For Start and Stop: whatever is published in between is replayed at the next listen().
function stop(source) {
  source.close();
  showState(source);
}

async function post(url, body) {
  const notice = document.getElementById("notice");
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  try {
    const response = await fetch(url, { method: "POST", headers: { "X-CSRFToken": token }, body });
    if (response.redirected) location = response.url; // logged out meanwhile
    notice.textContent = response.ok ? "" : `The site answered ${response.status}.`;
    return response.ok;
  } catch (error) {
    notice.textContent = `Not sent: ${error.message}`;
    return false;
  }
}

async function fetchRows() {
  const response = await fetch("items/");
  if (!response.ok) throw new Error(`items/ answered ${response.status}`);
  return (await response.json()).rows;
}

function rowsOfPage() {
  return JSON.parse(document.getElementById("rows").textContent);
}

// <form class="live"> is sent without leaving the page.
document.addEventListener("submit", async (submit) => {
  const form = submit.target;
  if (!form.matches(".live")) return;
  submit.preventDefault();
  if (await post(form.action, new FormData(form))) form.reset();
});
