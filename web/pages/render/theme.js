// Dark or light, before anything is painted: not a module, because that would run too late.
const theme = (() => {
  const KEY = "turnkeeper.theme";
  const NEXT = { system: "light", light: "dark", dark: "system" };
  const current = () => document.documentElement.dataset.theme;
  const apply = (name) => (document.documentElement.dataset.theme = name in NEXT ? name : "system");
  const next = () => {
    apply(NEXT[current()]);
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
