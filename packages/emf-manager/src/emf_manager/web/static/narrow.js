// Narrows a list while one types; without scripts the form asks the manager.
for (const input of document.querySelectorAll("[data-narrow]")) {
  const list = document.querySelector(input.dataset.narrow);
  const items = [...list.querySelectorAll("[data-text]")];
  const count = input.form.parentElement.querySelector("[role=status]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      item.hidden = !words.every((word) => item.dataset.text.includes(word));
      if (!item.hidden) shown += 1;
    }
    for (const group of list.querySelectorAll("[data-group]")) {
      group.hidden = !group.querySelector("[data-text]:not([hidden])");
    }
    if (count) count.textContent = `${shown} of ${items.length}`;
  });
}
