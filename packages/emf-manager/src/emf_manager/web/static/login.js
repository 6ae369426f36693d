// A one-time link carries its code behind the #, which no server and no log sees.

function take_code() {
  const code = location.hash.slice(1);
  if (!code) return false;
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.getElementById("by-code");
  form.closest("details").open = true;
  form.elements.code.value = code;
  form.requestSubmit();
  return true;
}

// A link pasted into a tab that stands here already changes the # alone.
addEventListener("hashchange", take_code);

if (!take_code()) {
  const user = document.querySelector("input[name=user]");
  (user.value ? document.querySelector("input[name=password]") : user).focus();
}
