// Tiles answer to the pointer: what they are, and where they lead. Names are also in the table.

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

function tile(event) {
  return event.target instanceof Element ? event.target.closest(".tiles > i") : null;
}

addEventListener("pointerover", (event) => {
  const over = tile(event);
  tip.hidden = !over;
  if (!over) return;
  tip.textContent = `${over.dataset.n}: ${over.className}`;
  const { left, bottom } = over.getBoundingClientRect();
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(left, right)) + scrollX}px`;
  tip.style.top = `${bottom + 6 + scrollY}px`;
});

addEventListener("click", (event) => {
  const hit = tile(event);
  if (hit) location.assign(`/ui/nodes/${encodeURIComponent(hit.dataset.n)}`);
});
