// Runs before the first paint: a chosen theme must not flash the other one first.
(() => {
  const stored = () => {
    try {
      return localStorage.getItem("heldout-theme");
    } catch {
      return null; // storage may be forbidden; the system's choice stays
    }
  };
  const apply = (choice) => {
    const root = document.documentElement;
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    else delete root.dataset.theme;
  };
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const group = document.querySelector(".themes");
    const buttons = [...group.querySelectorAll("[data-theme-choice]")];
    const show = (choice) =>
      buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.themeChoice === choice)));
    group.hidden = false;
    show(stored() ?? "auto");
    group.addEventListener("click", (event) => {
      const choice = event.target.closest("[data-theme-choice]")?.dataset.themeChoice;
      if (!choice) return;
      apply(choice);
      show(choice);
      try {
        localStorage.setItem("heldout-theme", choice);
      } catch {
        // it holds for this page at least
      }
    });
  });
})();
