// Conveniences on every page; all pages work without JavaScript.

// Escape closes an open <details> menu.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest?.("details.confirm[open], details.rename[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // exists only on HTTPS and localhost
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// Disable the button, so that a double click does not send the form twice.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button:not([type=button])");
  if (!button || event.target.id === "upload" || event.target.getAttribute("role") === "search") return;
  button.setAttribute("aria-busy", "true");
  setTimeout(() => (button.disabled = true));
});

// The back button restores the page with its disabled button: enable it again.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.disabled = false;
  }
});

// On a phone the tabs scroll: bring the current tab into view.
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.clientWidth / 2 + tab.offsetWidth / 2;
