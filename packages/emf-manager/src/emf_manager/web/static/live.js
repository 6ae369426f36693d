// The events of the manager, to whatever on this page listens; and parts that get themselves anew.
//
// One tab of a browser holds the stream and tells the others: a browser opens only six connections
// to one server. Events are gathered for a moment and handed out together. A hidden page listens to
// nothing, and when it is shown again it gets its parts once.

import { read } from "./stream.js";
import { bring_up_to_date } from "./tiles.js";

const GATHER_MS = 1000;
const CHANNEL = "emf-events";

const listeners = new Set();
let gathered = [];
let timer = null;

/** Call back with a list of events, at most once a second; the list is empty after a pause. */
export function listen(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

function gather(event) {
  gathered.push(event);
  if (gathered.length > 5000) gathered = gathered.slice(-1);
  timer ??= setTimeout(handOut, GATHER_MS);
}

function handOut() {
  timer = null;
  const events = gathered;
  gathered = [];
  for (const callback of listeners) callback(events);
}

const channel = new BroadcastChannel(CHANNEL);
channel.addEventListener("message", ({ data }) => {
  if (document.hidden) return;
  if (data.say !== undefined) say(data.say);
  else gather(data);
});

function share(event) {
  gather(event);
  channel.postMessage(event);
}

function say(state) {
  const place = document.getElementById("live");
  if (!place) return;
  place.hidden = false;
  place.className = `live ${state}`;
  place.textContent = state === "on" ? "live" : "reconnecting";
}

let holding = null;
let leading = false;
let after = document.querySelector('meta[name="event"]')?.content ?? null; // what the page knows of
const FOLLOWS_MS = 500;

function hold() {
  if (document.hidden || holding) return;
  holding = new AbortController();
  const { signal } = holding;
  const onState = (state, last) => {
    say(state);
    if (state === "on" && last === null) handOut(); // from now on: what came before is not told
    channel.postMessage({ say: state });
  };
  navigator.locks
    .request(CHANNEL, { signal }, () => {
      leading = true;
      const first = after;
      after = null;
      return read({ after: first, signal, onEvent: share, onState });
    })
    .catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  say("on");
  // Another tab has the stream: what came while this one was loading went past it.
  setTimeout(() => leading || handOut(), FOLLOWS_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    holding?.abort();
    holding = null;
    leading = false;
  } else {
    hold();
    gathered = [];
    handOut();
  }
});

// Parts: elements with an id and data-live, openings of the kinds they show.

let getting = false;
const again = new Set(); // ids of parts that are to be got once more
const AGAIN_MS = 3000;

function concerns(part, events) {
  const kinds = part.dataset.live.split(" ");
  const { liveNode: node, liveJob: job } = part.dataset;
  return (
    events.length === 0 ||
    events.some(
      ({ kind, node: of, job: its }) =>
        (!node || !of || node === of) &&
        (!job || !its || job === its) &&
        kinds.some((opening) => kind.startsWith(opening)),
    )
  );
}

function renew(events) {
  return get([...document.querySelectorAll("[data-live]")].filter((p) => concerns(p, events)));
}

/** Get the page again, and put the new ones in the place of these parts. */
export async function get(parts) {
  if (parts.length === 0) return;
  if (getting) {
    for (const { id } of parts) again.add(id);
    return;
  }
  getting = true;
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 401) location.reload();
    else if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts) {
        await pause(0);
        replace(part, fresh.getElementById(part.id));
      }
    }
  } catch {
    say("off");
    for (const { id } of parts) again.add(id);
    await pause(AGAIN_MS);
  } finally {
    // A page that takes long to make is asked for less often: a tenth of the time at most.
    await pause(Math.min(30000, 9 * (performance.now() - began)));
    getting = false;
    const parts_again = [...again].map((id) => document.getElementById(id)).filter(Boolean);
    again.clear();
    get(parts_again);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function inner_parts(part) {
  return [...part.querySelectorAll("[data-live][id]")].map(({ id }) => id).join(" ");
}

function replace(part, fresh) {
  if (!fresh || !part.isConnected || document.querySelector("dialog[open]")) return;
  const inner = inner_parts(part);
  if (inner && inner === inner_parts(fresh)) return; // they look after themselves
  const tiles = part.querySelector(":scope > .tiles");
  const fresh_tiles = fresh.querySelector(":scope > .tiles");
  if (tiles && fresh_tiles) {
    bring_up_to_date(tiles, fresh_tiles);
    for (const child of [...part.children]) if (child !== tiles) child.remove();
    fresh_tiles.remove();
    tiles.before(...[...fresh.children].map((child) => document.adoptNode(child)));
    return;
  }
  if (fresh.innerHTML === part.innerHTML) return;
  const focused = document.activeElement;
  if (part.contains(focused) && focused.matches("input, select, textarea")) return;
  const way = part.contains(focused) ? way_to(focused) : null;
  const open = [...part.querySelectorAll("details[open][id]")].map(({ id }) => id);
  part.replaceWith(document.adoptNode(fresh));
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (way) document.querySelector(way)?.focus({ preventScroll: true });
  dispatchEvent(new CustomEvent("emf:part", { detail: fresh }));
}

function way_to(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const href = element.getAttribute("href");
  return href ? `a[href="${CSS.escape(href)}"]` : null;
}

listen(renew);
hold();
