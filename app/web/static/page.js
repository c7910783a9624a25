// Small help on every page; all of it works without.

// A menu-like <details> closes when one looks elsewhere or presses Escape.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest?.("details.confirm[open], details.rename[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // only on HTTPS and localhost
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// A form sent twice by an impatient double click is a second request, with a second message.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button:not([type=button])");
  if (!button || event.target.id === "upload" || event.target.getAttribute("role") === "search") return;
  button.setAttribute("aria-busy", "true");
  setTimeout(() => (button.disabled = true));
});

// Coming back by the back button shows the page as it was left, busy button included.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.disabled = false;
  }
});

// On a phone the tabs scroll; the one we are on should be in sight.
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.clientWidth / 2 + tab.offsetWidth / 2;
