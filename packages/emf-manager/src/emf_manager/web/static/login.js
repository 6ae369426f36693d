// A one-time link carries its code behind the #, which no server and no log sees.
const code = location.hash.slice(1);
if (code) {
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.getElementById("by-code");
  form.closest("details").open = true;
  form.elements.code.value = code;
  form.requestSubmit();
} else {
  const user = document.querySelector("input[name=user]");
  (user.value ? document.querySelector("input[name=password]") : user).focus();
}
