// Follow several chats on one connection. `onEvent` gets the session, the event's name and its data.
function followSeveral(sessions, names, onEvent) {
  const name = crypto.randomUUID();
  const source = new EventSource(`chat/events?log_ids=${sessions.join()}&stream=${name}`);
  for (const each of names) {
    source.addEventListener(each, (event) => {
      const { log_id: session, data } = JSON.parse(event.data);
      onEvent(session, each, data);
    });
  }
  const change = (body) =>
    fetch(`chat/events?stream=${name}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  return {
    add: (...added) => change({ add: added }),
    drop: (...dropped) => change({ drop: dropped }),
    close: () => source.close(),
  };
}
