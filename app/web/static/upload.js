// Uploads the file with a progress bar. Only XMLHttpRequest reports upload progress.
const form = document.getElementById("upload");
if (form) {
  const input = form.querySelector("#file");
  const drop = form.querySelector("[data-drop]");
  const chosen = form.querySelector("[data-chosen]");
  const send = form.querySelector("[data-send]");
  const sending = form.querySelector("[data-sending]");
  const bar = sending.querySelector("progress");
  const words = sending.querySelector("[data-progress-words]");
  const refusal = form.querySelector("[data-refusal]");
  const maxBytes = Number(form.dataset.maxBytes);

  const size = (bytes) =>
    bytes < 1e3 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1e3).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`;

  const refuse = (message, problems = []) => {
    const line = (textContent) => Object.assign(document.createElement("p"), { textContent });
    refusal.replaceChildren(...[message, ...problems.map((one) => one.message)].map(line));
    refusal.hidden = false;
    sending.hidden = true;
    send.disabled = false;
  };

  const show = () => {
    const file = input.files[0];
    refusal.hidden = true;
    drop.classList.toggle("has-file", Boolean(file));
    chosen.textContent = file ? `${file.name}, ${size(file.size)}` : "";
    if (!file) return true;
    if (file.size > maxBytes) {
      const advice = "mayPack" in form.dataset ? "Try to compress it to .csv.gz." : "Compressing does not help: the limit is that of the unpacked file.";
      refuse(`This file has ${size(file.size)}; the limit is ${form.dataset.maxWords}. ${advice}`);
      return false;
    }
    if (file.size === 0) {
      refuse("This file is empty. Choose a file with predictions.");
      return false;
    }
    return true;
  };

  // It only advises: the form works without it.
  input.addEventListener("change", () => {
    key = null;
    const file = show() ? input.files[0] : null;
    import(form.dataset.check).then(({ check }) => check(form, file), () => {});
  });
  drop.querySelector("[data-drop-hint]").prepend("Drop a file here, or choose ");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      if (name === "drop" || !drop.contains(event.relatedTarget)) drop.classList.remove("over");
    });
  }
  drop.addEventListener("drop", (event) => {
    const { files } = event.dataTransfer;
    if (files.length > 1) return refuse("Drop only one file at a time.");
    if (files.length === 1) {
      input.files = files;
      input.dispatchEvent(new Event("change"));
    }
  });
  // A file dropped outside the box must not replace the page.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());

  // One key per chosen file: a retry after a lost answer returns the first receipt and counts once.
  let key = null;
  const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.files[0] || !show()) return;
    key ??= newKey();
    send.disabled = true;
    sending.hidden = false;
    refusal.hidden = true;
    bar.value = 0;
    words.textContent = "Uploading…";

    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.addEventListener("progress", (progress) => {
      if (!progress.lengthComputable) return bar.removeAttribute("value");
      bar.value = (100 * progress.loaded) / progress.total;
      words.textContent = `${size(progress.loaded)} of ${size(progress.total)}`;
    });
    request.upload.addEventListener("load", () => {
      words.textContent = "Uploaded. The server is storing the file…";
    });
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // a proxy's own error page; the status is shown below
      }
      if (request.status === 201) {
        words.textContent = "Received.";
        location.assign(answer.links.page);
      } else if (request.status === 401) {
        refuse("You are signed out. Sign in in another tab, then upload the file again.");
      } else {
        refuse(answer.detail ?? `The server answered with status ${request.status}. Try again.`, answer.problems);
      }
    });
    request.addEventListener("error", () => refuse("The connection was lost. Upload the file again; it counts only once."));
    request.send(new FormData(form));
  });
}
