// What a turn has sent to other sessions, its children, and where its own message comes from. Pure.

const refOf = ({ log_id: session, task_id: id }) => ({ session, id });

// A turn's children, from its record and those that were known before: {session, id, status}. Only its timeline says how
// they have ended; without that the status is null.
function childrenOf({ children = [], timeline = [] }, before = []) {
  const ends = timeline.filter(({ step }) => step === "child_ended").map(({ turn, status }) => [turn.task_id, status]);
  const known = new Map([...before.map(({ id, status }) => [id, status]), ...ends]);
  return children.map((each) => ({ ...refOf(each), status: known.get(each.task_id) ?? null }));
}

// What a turn's record, or its start, says of its family. A start has no children, and takes none away.
export function familyOf({ parent, children, timeline }, before) {
  return {
    parent: parent ? refOf(parent) : (before.parent ?? null),
    children: children ? childrenOf({ children, timeline }, before.children) : (before.children ?? []),
  };
}

// Whether it has children of which no end is known.
export const hasOpenChildren = ({ children }) => Boolean(children?.some(({ status }) => !status));
