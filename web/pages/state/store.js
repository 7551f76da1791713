import { shownSessions } from "./sessions.js";

// The page's state. Data flows one way: events and answers change() it, then it is rendered.

export const state = {
  chat: null, // the Chat that is shown
  kept: new Map(), // session -> Chat, the latest last: those that can be shown again at once
  connection: "connecting",
  loginProblem: "",
  listed: null, // what the server lists, the latest first: {sessions, before, asOf}; null if it lists nothing
  found: null, // the same, of those with `find` in their titles
  own: [], // this browser's own: {id, title, at}
  find: "",
  wanted: 0, // how many sessions the list is to have
  listProblem: "",
  running: new Set(), // ids of sessions with a turn in flight, as far as is known
  unseen: new Set(), // ids of sessions whose turn ended while another one was shown
  renaming: null, // the id of the session whose title is being edited
  deleting: null, // the id of the session that the dialog asks about
  deleteProblem: "",
  drawer: false, // on a narrow screen the list of sessions is a drawer

  // The list of sessions.
  get sessions() {
    return shownSessions(this);
  },
};

let render = () => {};
let frame = null;

export function whenChanged(handler) {
  render = handler;
}

export function change(edit) {
  edit?.();
  frame ??= requestAnimationFrame(() => {
    frame = null;
    render(state);
  });
}
