// What the page knows. Data flows one way: events and answers change() it, and then it is rendered.

export const state = {
  conversation: null, // the one that is shown, a Conversation
  connection: "connecting",
  loginProblem: "",
  sessions: [], // this browser's own, the latest first: {id, title, at}
  running: new Set(), // ids of sessions with a turn in flight, as far as it is known
  unseen: new Set(), // ids of sessions whose turn ended while another one was shown
  renaming: null, // the id of the session whose title is being edited
  deleting: null, // the id of the session that is asked about
  deleteProblem: "",
  drawer: false, // on a narrow screen the list of sessions is a drawer
  said: "", // for screen readers
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
