// Runs before the first paint, so that the other theme never flashes.
(() => {
  const stored = () => {
    try {
      return localStorage.getItem("heldout-theme");
    } catch {
      return null; // storage may be forbidden; then the system's theme applies
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
        // the choice then holds for this page only
      }
    });
  });
})();
