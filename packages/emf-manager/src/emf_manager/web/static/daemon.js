// The page of a daemon: follows its value. A log grows line by line; everything else is got anew.
import { get } from "./live.js";
import { read } from "./stream.js";

const AT_MOST_EVERY_MS = 1000;
const MOST_LINES = 2000;
const LEVELS = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
const TONES = ["bad", "bad", "bad", "bad", "warn", "busy", "ok", "idle"];

const log = document.querySelector("[data-log]");
let held = false;
let waiting = null;

function parts() {
  const all = [...document.querySelectorAll("[data-part]")];
  return log ? all.filter((part) => !part.contains(log)) : all;
}

function news({ kind, value, reason }) {
  if (kind === "gone") {
    document.getElementById("freshness").textContent = reason;
    return;
  }
  if (log && Array.isArray(value)) append(value);
  waiting ??= setTimeout(() => {
    waiting = null;
    if (!held) get(parts());
  }, AT_MOST_EVERY_MS);
}

let following = null;

function follow() {
  if (document.hidden || following) return;
  following = new AbortController();
  const url = document.querySelector("[data-follow]").dataset.follow;
  read({ url, signal: following.signal, onEvent: news, onState: () => {} });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    following?.abort();
    following = null;
  } else {
    follow();
  }
});
follow();

// A log

let known = log ? new Set([...log.children].map(({ textContent }) => textContent.trim())) : null;

function append(entries) {
  const fresh = document.createDocumentFragment();
  for (const entry of entries.slice(-MOST_LINES)) {
    const line = drawn(entry);
    if (!known?.has(line.textContent.trim())) fresh.append(line);
  }
  known = null; // only the batch that the page itself showed can come twice
  if (!fresh.childElementCount) return;
  log.querySelector(".none")?.remove();
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(fresh);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  if (!held && atEnd) log.scrollTop = log.scrollHeight;
}

function drawn({ datetime, severity = "Info", source = "", message = "" }) {
  const level = { Emerg: "emergency", Crit: "critical", Err: "error" }[severity] ?? `${severity}`.toLowerCase();
  const line = document.createElement("p");
  line.className = `entry ${TONES[LEVELS.indexOf(level)] ?? "idle"}`;
  line.dataset.level = level;
  const at = new Date((datetime?.secs ?? 0) * 1000 + Math.floor((datetime?.nanos ?? 0) / 1e6));
  const when = Number.isNaN(at.getTime()) ? "?" : at.toISOString().replace("T", " ");
  line.append(made("time", when), " ", made("b", level, "level"), " ");
  line.append(made("span", `${source}`.slice(0, 200), "source"), " ");
  line.append(made("span", `${message}`.slice(0, 4000), "text"));
  line.hidden = !isWanted(line);
  return line;
}

function made(tag, text, kind = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: kind });
}

let worst = LEVELS.length;
let wordsWanted = "";

function isWanted(line) {
  const at = LEVELS.indexOf(line.dataset.level);
  return (at < 0 || at <= worst) && (!wordsWanted || line.textContent.toLowerCase().includes(wordsWanted));
}

function narrow() {
  for (const line of log.children) line.hidden = !isWanted(line);
}

function tools() {
  const bar = made("div", "", "row tools");
  const level = document.createElement("select");
  LEVELS.forEach((name, at) => level.append(new Option(`${name}${at < 7 ? " and worse" : " and all"}`, at)));
  level.value = `${LEVELS.length - 1}`;
  level.addEventListener("change", () => {
    worst = Number(level.value);
    narrow();
  });
  const words = Object.assign(document.createElement("input"), { type: "search", placeholder: "words" });
  let timer = null;
  words.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      wordsWanted = words.value.toLowerCase();
      narrow();
    }, 150);
  });
  const hold = Object.assign(document.createElement("button"), { type: "button", textContent: "Hold" });
  hold.addEventListener("click", () => {
    held = !held;
    hold.textContent = held ? "Follow" : "Hold";
    hold.setAttribute("aria-pressed", held);
    if (!held) log.scrollTop = log.scrollHeight;
  });
  const labelled = (text, control) => {
    const label = made("label", text);
    label.append(control);
    return label;
  };
  bar.append(labelled("Level", level), labelled("With", words), hold);
  log.before(bar);
}

if (log) {
  worst = LEVELS.length - 1;
  tools();
  log.scrollTop = log.scrollHeight;
}
