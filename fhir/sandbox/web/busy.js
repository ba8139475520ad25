// Shows that a form is under way. Everything works without it.
document.addEventListener("submit", function (event) {
  var form = event.target;
  var text = form.getAttribute("data-busy");
  if (!text) return;
  var button = form.querySelector("button");
  form.setAttribute("aria-busy", "true");
  button.textContent = text;
  window.setTimeout(function () { button.disabled = true; }, 0);
});
window.addEventListener("pageshow", function (event) {
  if (event.persisted) window.location.reload();
});
if (window.location.hash === "#advice") {
  var advice = document.getElementById("advice");
  if (advice) advice.focus({ preventScroll: true });
}
