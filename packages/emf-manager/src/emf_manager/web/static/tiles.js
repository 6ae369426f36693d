// Thousands of tiles, brought up to date where they stand: what did not change is not touched.

/** Make the tiles of one element those of another, a fresh one that is not shown. */
export function bring_up_to_date(shown, fresh) {
  const wanted = new Set();
  for (const tile of fresh.children) wanted.add(tile.dataset.n);
  const known = new Map();
  for (const tile of [...shown.children]) {
    if (wanted.has(tile.dataset.n)) known.set(tile.dataset.n, tile);
    else tile.remove();
  }
  let at = shown.firstElementChild;
  for (const { dataset, className } of [...fresh.children]) {
    if (at && at.dataset.n === dataset.n) {
      if (at.className !== className) at.className = className;
      at = at.nextElementSibling;
      continue;
    }
    const tile = known.get(dataset.n) ?? document.createElement("i");
    if (tile.dataset.n === undefined) tile.dataset.n = dataset.n;
    if (tile.className !== className) tile.className = className;
    shown.insertBefore(tile, at);
  }
  shown.className = fresh.className;
  shown.setAttribute("aria-label", fresh.getAttribute("aria-label"));
}
