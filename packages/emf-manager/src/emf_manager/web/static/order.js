// The form of an action: rows and the list of nodes change without loading the page anew.
// Everything is the manager's work; without scripts the same buttons send the form.

const PAUSE_MS = 400;
let typing = null;
let asked = 0;

function form() {
  return document.getElementById("order");
}

async function send(submitter, extra) {
  const body = new URLSearchParams(new FormData(form(), submitter));
  for (const [name, value] of Object.entries(extra ?? {})) body.set(name, value);
  const answer = await fetch(form().action, { method: "POST", body });
  if (answer.status === 401) location.reload();
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

addEventListener("submit", async (event) => {
  const { target, submitter } = event;
  if (target !== form() || (submitter?.name !== "edit" && submitter?.value !== "preview")) return;
  event.preventDefault();
  const edit = submitter.name === "edit" ? submitter.value : "";
  const page = await send(submitter);
  const fresh = page.getElementById("order");
  if (!fresh) return;
  const top = scrollY;
  target.replaceWith(document.adoptNode(fresh));
  scrollTo({ top });
  focusAfter(edit);
});

function focusAfter(edit) {
  const name = edit.slice(1).replace(edit.startsWith("-") ? /\/\d+$/ : /$/, "");
  const add = document.querySelector(`button[value="+${CSS.escape(name)}"]`);
  if (!edit) document.querySelector("#preview")?.scrollIntoView({ block: "nearest" });
  else if (edit.startsWith("-")) add?.focus();
  else {
    const last = add?.parentElement.querySelector(":scope > .rows > li:last-child");
    last?.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  }
}

addEventListener("input", ({ target }) => {
  if (!form()?.contains(target)) return;
  if (target.type === "hidden" || !["nodes", "exclude"].includes(target.name)) return;
  clearTimeout(typing);
  typing = setTimeout(showWhere, PAUSE_MS);
});

async function showWhere() {
  if (!form().elements.nodes.value.trim()) return;
  const number = ++asked;
  const page = await send(null, { do: "preview" });
  if (number !== asked) return;
  for (const id of ["preview", "nodes-about"]) {
    const fresh = page.getElementById(id);
    if (fresh) document.getElementById(id)?.replaceWith(document.adoptNode(fresh));
  }
}
