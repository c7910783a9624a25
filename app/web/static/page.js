// Conveniences on every page; all pages work without JavaScript.

// Escape closes an open <details> menu.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest?.("details.confirm[open], details.rename[open], details.account[open]");
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

// Times in the viewer's own zone, and the time until the close counted down.
const plural = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
const remaining = (seconds) => {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days >= 2) return plural(days, "day") + (hours ? ` ${plural(hours, "hour")}` : "");
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return `${24 * days + hours}:${two(minutes)}:${two(seconds % 60)}`;
};
const showTimes = () => {
  for (const time of document.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    const form = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    time.title = time.textContent;
    time.textContent = `${at.toLocaleString(undefined, form)} your time`;
    delete time.dataset.local;
  }
  for (const time of document.querySelectorAll("time[data-until]")) {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    if (seconds > 0) time.textContent = `in ${remaining(seconds)}`;
  }
};
showTimes();
setInterval(showTimes, 1000);
document.addEventListener("times", showTimes);

// When what the page says becomes wrong (data-changes-in, in milliseconds), load it again. A page with input of
// the user stays: its live parts are replaced, and forms that the new page no longer has are disabled.
const typed = (field) =>
  field.type === "file"
    ? field.files.length > 0
    : field.type === "checkbox" || field.type === "radio"
      ? field.checked !== field.defaultChecked
      : field.matches("input:not([type=hidden]), textarea") && field.value !== field.defaultValue;
const isBusy = () =>
  [...document.querySelectorAll("main form")].some((form) => [...form.elements].some(typed)) ||
  document.querySelector("[data-sending]:not([hidden])") !== null;

const nextChange = (page) => {
  const waits = [...page.querySelectorAll("[data-changes-in]")].map((part) => Number(part.dataset.changesIn));
  // Not all pages at the same moment, which is when the last uploads arrive.
  return waits.length ? Date.now() + Math.min(...waits) + 200 + 2000 * Math.random() : Infinity;
};
let changesAt = nextChange(document);

const renew = async () => {
  if (document.hidden || Date.now() < changesAt) return;
  if (!isBusy()) return location.reload();
  changesAt = Date.now() + 10000; // tried again if the server does not answer
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const renewed = page.getElementById(part.id);
    if (renewed) part.replaceWith(document.importNode(renewed, true));
  }
  for (const form of document.querySelectorAll("main form[id]")) {
    if (page.getElementById(form.id)) continue;
    for (const field of form.elements) field.disabled = true;
  }
  document.getElementById("announce").textContent = document.getElementById("deadline")?.textContent ?? "";
  changesAt = nextChange(page);
};
setInterval(renew, 500);

// A part with an address of its own (data-part) is exchanged each data-every seconds, or on the event data-on.
const due = new WeakMap();
const exchange = async (part) => {
  due.set(part, Infinity);
  const answer = await fetch(part.dataset.part, { headers: { "X-Part": "1" } }).catch(() => null);
  if (answer?.headers.has("X-Reload")) return location.reload();
  if (!answer?.ok) return due.set(part, Date.now() + 5000);
  const answered = document.createElement("template"); // parses rows of a table too
  answered.innerHTML = await answer.text();
  const words = answered.content.querySelector("#announce");
  words?.remove();
  const renewed = document.importNode(answered.content.firstElementChild, true);
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  renewed.querySelectorAll("details").forEach((one, i) => (one.open ||= open[i] ?? false));
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.replaceWith(renewed);
  if (focused) document.getElementById(focused)?.focus();
  if (words) document.getElementById("announce").textContent = words.textContent;
  document.dispatchEvent(new Event("times"));
  const name = answer.headers.get("X-Announce");
  if (!name) return;
  for (const other of document.querySelectorAll(`[data-on="${name}"]`)) exchange(other);
  document.body.dispatchEvent(new Event(name));
};
setInterval(() => {
  for (const part of document.querySelectorAll("[data-every]")) {
    if (!due.has(part)) due.set(part, Date.now() + 1000 * part.dataset.every);
    else if (Date.now() >= due.get(part)) exchange(part);
  }
}, 250);

// A click elsewhere closes the account's menu.
document.addEventListener("click", (event) => {
  const menu = document.querySelector("details.account[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

// On a phone the tabs scroll: bring the current tab into view.
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.clientWidth / 2 + tab.offsetWidth / 2;

// The QR code of a strip has the personal code behind the #, which browsers do not send.
const personal = document.querySelector("input[data-from-fragment]");
const fragment = location.hash.slice(1);
if (personal && /^[0-9A-Za-z-]{8,14}$/.test(fragment)) {
  personal.value = fragment;
  history.replaceState(null, "", location.pathname + location.search);
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
