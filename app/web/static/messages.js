// Keeps the number of unread messages at the tab current, and shows notifications of the browser for new announcements
// and results of one's own files, while a page of the competition is open. No push service is involved.

const EVERY = 15000;
const KEY = "heldout-notify";
const count = document.getElementById("unread");
const can = "Notification" in window && isSecureContext;
const wants = () => can && Notification.permission === "granted" && localStorage.getItem(KEY) === "1";

let tag = null;
let wait = EVERY;
let timer;
let known = null; // what was there at the first look; only what comes later is new

const notify = (news) => {
  if (!document.hidden || !wants()) return;
  const shown = new Notification(document.querySelector(".place")?.textContent ?? "Heldout", { body: news.words, tag: `heldout-${news.key}` });
  shown.addEventListener("click", () => {
    window.focus();
    location.href = news.address;
  });
};

const show = ({ unread, news }) => {
  count.hidden = unread === 0;
  count.querySelector("b").textContent = unread;
  const fresh = known === null ? [] : news.filter((one) => !known.has(one.key));
  known = new Set([...(known ?? []), ...news.map((one) => one.key)]);
  for (const one of fresh) {
    notify(one);
    if (one.key.startsWith("announcement")) document.getElementById("announce").textContent = `New announcement: ${one.words}`;
  }
};

const poll = async () => {
  clearTimeout(timer);
  if (document.hidden && !wants()) return;
  try {
    const answer = await fetch(count.dataset.pulse + (wants() ? "&results=1" : ""), { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      show(await answer.json());
      tag = answer.headers.get("ETag");
    }
    wait = answer.ok || answer.status === 304 ? EVERY : Math.min(2 * wait, 120000);
  } catch {
    wait = Math.min(2 * wait, 120000); // the server does not answer
  }
  timer = setTimeout(poll, wait * (0.8 + 0.4 * Math.random())); // not all pages at one moment
};
if (count?.dataset.pulse) {
  timer = setTimeout(poll, wants() ? 0 : EVERY * Math.random());
  document.addEventListener("visibilitychange", poll);
  document.body.addEventListener("submission-finished", poll);
}

// The button with which notifications are switched on: the browser asks for the permission only after a click.
const button = document.getElementById("notify");
const showButton = () => {
  const blocked = Notification.permission === "denied";
  button.hidden = false;
  button.disabled = blocked;
  button.setAttribute("aria-pressed", wants());
  button.textContent = blocked ? "Notifications are blocked in this browser" : wants() ? "Notifications are on" : "Notify me in this browser";
};
if (button && can) {
  showButton();
  button.addEventListener("click", async () => {
    if (wants()) {
      localStorage.removeItem(KEY);
    } else if ((await Notification.requestPermission()) === "granted") {
      localStorage.setItem(KEY, "1");
      poll();
    }
    showButton();
  });
}
