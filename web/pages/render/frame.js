// State -> the page around the turns: its title, the connection, the drawer, the login and the theme.

import { $, setText } from "./dom.js";
import { UNTITLED, nameOf } from "./session-list.js";
import { sessionOf } from "../state/sessions.js";
import { CONNECTION, EARLIER } from "../state/words.js";

// Whether the list of sessions is a drawer.
export const narrow = matchMedia("(max-width: 48rem)");

// Everything around the turns and the list of sessions.
export function renderFrame(state) {
  const { chat, connection } = state;
  const turn = chat.current;
  const title = nameOf(state, chat.session);
  const isKnown = Boolean(sessionOf(state, chat.session));
  document.title = title === UNTITLED ? "turnkeeper" : `${title} · turnkeeper`;
  setText($("title"), title);
  setText($("connection"), CONNECTION[connection]);
  $("connection").dataset.state = connection;
  const isEmpty = chat.history && !chat.shown.length && connection === "connected";
  $("empty").hidden = !isEmpty || isKnown;
  $("forgotten").hidden = !isEmpty || !isKnown;
  const isLeft = !chat.omitted && document.activeElement === $("earlier");
  setText($("earlier"), chat.omitted ? EARLIER[chat.earlier] : "");
  if (isLeft) $("scroller").focus();
  $("earlier").setAttribute("aria-disabled", String(chat.earlier === "asking"));
  $("stop").disabled = !turn || Boolean(turn.stopping);
  setText($("hint"), turn ? $("hint").dataset.running : $("hint").dataset.idle);
  renderDrawer(state);
  renderLogin(state);
}

function renderDrawer(state) {
  const open = state.drawer && narrow.matches;
  $("room").inert = open;
  $("open-drawer").setAttribute("aria-expanded", String(open));
  if ($("sidebar").classList.contains("open") === open) return;
  $("sidebar").classList.toggle("open", open);
  $("shade").hidden = !open;
  if (open) $("new").focus();
  else if (narrow.matches) $("open-drawer").focus();
}

function renderLogin(state) {
  const login = state.connection === "login";
  setText($("login-problem"), state.loginProblem);
  if ($("login").hidden !== login) return;
  $("login").hidden = !login;
  $("composer").hidden = login;
  $(login ? "token" : "message").focus();
}

export function renderTheme() {
  const name = { system: "as the system", light: "light", dark: "dark" }[theme.current()];
  $("theme").setAttribute("aria-label", `Colours: ${name}`);
  $("theme").title = `Colours: ${name}`;
}
