// What every page has: the look, the search key, questions before grave things, ages that go on.
import "./live.js";

const root = document.documentElement;

function isDark() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return root.dataset.theme ? root.dataset.theme === "dark" : dark;
}

const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("emf-theme", root.dataset.theme);
  dispatchEvent(new Event("emf:theme"));
});

function isTyping(element) {
  return element.matches("input, textarea, select") || element.isContentEditable;
}

addEventListener("keydown", (event) => {
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (event.key === "/" && !modified && !isTyping(event.target)) {
    event.preventDefault();
    const find = document.getElementById("find");
    find.focus();
    find.select();
  }
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
});

addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !event.target.dataset.sure) {
    event.preventDefault();
    ask(event.target, question);
  }
});

function ask(form, question) {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = question;
  const answers = document.createElement("form");
  answers.method = "dialog";
  const no = Object.assign(document.createElement("button"), { value: "", textContent: "Cancel" });
  const pressed = form.querySelector("button");
  const yes = Object.assign(document.createElement("button"), {
    value: "yes",
    textContent: pressed.textContent,
    className: pressed.className || "main",
  });
  answers.append(no, yes);
  dialog.append(text, answers);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue !== "yes") return;
    form.dataset.sure = "yes";
    form.requestSubmit();
  });
  dialog.showModal();
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const at = UNITS.findIndex(([, unit]) => whole >= unit);
  if (at < 0) return "0 s";
  const [name, unit] = UNITS[at];
  const rest = at < 2 ? ` ${Math.floor((whole % unit) / UNITS[at + 1][1])} ${UNITS[at + 1][0]}` : "";
  return `${Math.floor(whole / unit)} ${name}${rest}`;
}

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-age]")) {
    time.textContent = `${age((Date.now() - Date.parse(time.dateTime)) / 1000)} ago`;
  }
}, 5000);
