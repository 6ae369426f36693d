// Before anything is drawn: the look that was chosen here, where one was.
const chosen = localStorage.getItem("emf-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
