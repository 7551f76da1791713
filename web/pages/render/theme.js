// Dark or light, before anything is painted: not a module, because that would run too late.
const theme = (() => {
  const KEY = "turnkeeper.theme";
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  // As the system, then the opposite of what that looks like, then the same as that: the first step is seen.
  const names = () => (prefersDark.matches ? ["system", "light", "dark"] : ["system", "dark", "light"]);
  const current = () => document.documentElement.dataset.theme;
  const apply = (name) => (document.documentElement.dataset.theme = names().includes(name) ? name : "system");
  const next = () => {
    apply(names()[(names().indexOf(current()) + 1) % 3]);
    try {
      localStorage.setItem(KEY, current());
    } catch {
      // No storage: the choice lasts as long as the page.
    }
  };
  try {
    apply(localStorage.getItem(KEY));
  } catch {
    apply("system");
  }
  return { current, next };
})();
