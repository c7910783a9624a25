// Keeps an open page of a competition current: the board, and the strip with the viewer's own position.

const EVERY = 5000;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const board = () => document.getElementById("board");
const parse = (text) => new DOMParser().parseFromString(text, "text/html");

// The viewer's own numbers; asked only when something has changed.
const renewStrip = async () => {
  const { mine } = document.getElementById("strip").dataset;
  if (!mine) return;
  const answer = await fetch(mine);
  if (!answer.ok) return;
  const strip = parse(await answer.text()).getElementById("strip");
  const rank = (of) => of.querySelector(".my-rank")?.textContent;
  const before = rank(document);
  const announce = document.getElementById("announce");
  const score = announce.textContent.match(/^Submission .*?\.(?= Your|$)/)?.[0] ?? ""; // said a moment ago
  if (rank(strip) !== before) announce.textContent = `${score} Your rank is now ${rank(strip)}.`;
  document.getElementById("strip").replaceWith(document.importNode(strip, true));
  document.dispatchEvent(new Event("times"));
  const pinned = board()?.querySelector(".pinned");
  if (!pinned) return;
  pinned.querySelector(".rank").textContent = rank(strip);
  pinned.querySelector(".score").innerHTML = strip.querySelector(".my-score").innerHTML;
};
document.body.addEventListener("submission-finished", renewStrip);

// Put new rows in place of the old ones, and return whether any differs; rows that have moved glide to their new place.
const show = (text) => {
  const page = parse(text);
  const body = board().querySelector("tbody");
  const renewed = page.querySelector("tbody");
  if (!body || !renewed) {
    board().replaceWith(document.importNode(page.getElementById("board"), true));
    return true;
  }
  const { mine } = board().dataset;
  const before = new Map([...body.rows].map((row) => [row.dataset.team, { top: row.offsetTop, text: row.textContent }]));
  for (const row of renewed.rows) {
    if (row.dataset.team !== mine) continue;
    row.id = "me";
    row.classList.add("is-mine");
    const tag = Object.assign(document.createElement("span"), { className: "tag tag-you", textContent: "you" });
    row.querySelector(".team-name").after(" ", tag);
  }
  body.replaceWith(document.importNode(renewed, true));
  const isShown = board().querySelector("tbody .is-mine");
  const pinned = board().querySelector(".pinned");
  if (isShown && pinned) pinned.remove();
  const foot = page.querySelector(".board-foot");
  if (foot) board().querySelector(".board-foot").replaceWith(document.importNode(foot, true));
  let isChanged = false;
  for (const row of board().querySelector("tbody").rows) {
    const old = before.get(row.dataset.team);
    const by = old ? old.top - row.offsetTop : null;
    const score = row.querySelector(".score")?.textContent;
    if (by === 0 && old.text.includes(score)) continue;
    isChanged = true;
    row.classList.add(by !== null && by < 0 ? "has-sunk" : "has-risen");
    if (by && !still.matches) row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 600, easing: "ease-out" });
  }
  return isChanged;
};

let tag = null;
let wait = EVERY;
let timer;
const poll = async () => {
  clearTimeout(timer);
  if (document.hidden || !board()) return;
  try {
    const answer = await fetch(board().dataset.board, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      if (show(await answer.text())) renewStrip();
      tag = answer.headers.get("ETag");
    }
    wait = answer.ok || answer.status === 304 ? EVERY : Math.min(2 * wait, 60000);
  } catch {
    wait = Math.min(2 * wait, 60000); // the server does not answer
  }
  timer = setTimeout(poll, wait * (0.8 + 0.4 * Math.random())); // not all pages at one moment
};
if (board()) {
  timer = setTimeout(poll, EVERY * Math.random());
  document.addEventListener("visibilitychange", () => !document.hidden && poll());

  // Find teams while typing.
  const form = document.querySelector(".board-tools form");
  let typing;
  const find = async () => {
    const address = `${form.action}?${new URLSearchParams(new FormData(form))}`;
    const answer = await fetch(address);
    if (!answer.ok) return;
    const found = parse(await answer.text()).getElementById("board");
    history.replaceState(null, "", address);
    board().replaceWith(document.importNode(found, true));
    tag = null;
  };
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, 300);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    find();
  });
}
