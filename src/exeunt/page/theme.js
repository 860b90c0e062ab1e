// The button between light and dark. Whoever draws with colours listens to "theme" on the document.

function buildTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => {
    const forced = document.documentElement.style.colorScheme;
    return forced ? forced === "dark" : system.matches;
  };
  const name = () => {
    button.textContent = dark() ? "Light" : "Dark";
    document.dispatchEvent(new Event("theme"));
  };
  button.setAttribute("aria-label", "Change between light and dark");
  button.addEventListener("click", () => {
    document.documentElement.style.colorScheme = dark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
}

buildTheme();
