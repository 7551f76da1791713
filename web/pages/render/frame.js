// State -> the page around the turns: its title, the connection, the drawer, the login and the theme.

import { $, focusMessage, setText } from "./dom.js";
import { UNTITLED, nameOf } from "./session-list.js";
import { sessionOf } from "../state/sessions.js";
import { WAYS } from "../state/vocabulary.js";
import { CONNECTION, EARLIER, hintOf } from "../state/words.js";

// Whether the list of sessions is a drawer.
export const narrow = matchMedia("(max-width: 48rem)");

// Everything around the turns and the list of sessions.
export function renderFrame(state) {
  const { chat, connection } = state;
  const title = nameOf(state, chat.session);
  const isKnown = Boolean(sessionOf(state, chat.session));
  document.title = title === UNTITLED ? "turnkeeper" : `${title} · turnkeeper`;
  setText($("title"), title);
  setText($("connection"), CONNECTION[connection]);
  $("connection").dataset.state = connection;
  const isEmpty = chat.history && !chat.firstMessage && !chat.shown.length && connection === "connected";
  $("empty").hidden = !isEmpty || isKnown;
  $("forgotten").hidden = !isEmpty || !isKnown;
  const isLeft = !chat.omitted && document.activeElement === $("earlier");
  setText($("earlier"), chat.omitted ? EARLIER[chat.earlier] : "");
  if (isLeft) $("scroller").focus();
  $("earlier").setAttribute("aria-disabled", String(chat.earlier === "asking"));
  renderComposer(chat);
  renderDrawer(state);
  renderLogin(state);
}

function renderComposer(chat) {
  const { current, isBusy, rule, way } = chat;
  $("stop").disabled = !current || Boolean(current.stopping);
  setText($("hint"), hintOf(chat));
  const isLeft = document.activeElement === $("way");
  const isChosen = isBusy && rule.isOpen;
  $("way").hidden = !isChosen;
  if (isLeft && !isChosen) focusMessage();
  const ways = Object.keys(WAYS).filter((each) => !WAYS[each].isRule || each === rule.way);
  if (ways.join() !== [...$("way").options].map(({ value }) => value).join()) {
    $("way").replaceChildren(...ways.map((each) => new Option(WAYS[each].name, each)));
  }
  $("way").value = way;
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
