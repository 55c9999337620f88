// Light, dark or as the system says. A classic script, so that it runs before the first paint.

(() => {
  const root = document.documentElement;
  const KEY = "airouter-theme";
  const ORDER = ["system", "light", "dark"];
  let chosen = "system";
  try {
    const stored = localStorage.getItem(KEY);
    if (ORDER.includes(stored)) chosen = stored;
  } catch {
    // Storage may be forbidden: then the choice lasts as long as the page.
  }

  const apply = () => {
    if (chosen === "system") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", chosen);
    const button = document.getElementById("theme");
    if (button) {
      button.querySelector("[data-text]").textContent = chosen;
      button.setAttribute("aria-label", `Theme: ${chosen}. Change it`);
      button.setAttribute("title", `Theme: ${chosen}`);
    }
    document.dispatchEvent(new Event("themechange"));
  };

  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme")?.addEventListener("click", () => {
      chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
      try {
        localStorage.setItem(KEY, chosen);
      } catch {
        // As above.
      }
      apply();
    });
  });
})();
