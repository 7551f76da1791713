// The page's state. Data flows one way: events and answers change() it, then it is rendered.

export const state = {
  chat: null, // the Chat that is shown
  connection: "connecting",
  loginProblem: "",
  sessions: [], // this browser's own, the latest first: {id, title, at}
  running: new Set(), // ids of sessions with a turn in flight, as far as is known
  unseen: new Set(), // ids of sessions whose turn ended while another one was shown
  renaming: null, // the id of the session whose title is being edited
  deleting: null, // the id of the session that the dialog asks about
  deleteProblem: "",
  drawer: false, // on a narrow screen the list of sessions is a drawer
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
