// A chat of turnkeeper's for `useChat`, and its Stop button.
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

/** The chat of this id, with the messages that there are already: for `useChat({ chat, resume: true })`. */
export function openChat(id, messages = [], server = "") {
  const transport = new DefaultChatTransport({
    api: `${server}/api/chat`,
    // The server has the others.
    prepareSendMessagesRequest: ({ messages, body, trigger, messageId }) => ({
      body: { ...body, id, message: messages.at(-1), trigger, messageId },
    }),
    // A reply that was lost in the middle, or has begun before the page was loaded, may have ended since.
    prepareReconnectToStreamRequest: () => ({ api: `${server}/api/chat/${id}/stream${unfinished(chat)}` }),
  });
  const chat = new Chat({ id, messages, transport });
  return chat;
}

function unfinished({ lastMessage }) {
  const { activeStreamId, status } = lastMessage?.metadata ?? {};
  return activeStreamId && !status ? `?activeStreamId=${activeStreamId}` : "";
}

/** Stop the reply to the last message, and no later one. It ends with that, and keeps what it has. */
export async function stopReply(chat, server = "") {
  const { role, id, metadata: { activeStreamId } = {} } = chat.lastMessage ?? {};
  const which = role === "user" && !activeStreamId ? { messageId: id } : { activeStreamId };
  const response = await fetch(`${server}/api/chat/${chat.id}/stop`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(which),
  });
  return answerOf(response); // {verdict, status, settled_after_ms, turn, cleared, activeStreamId}
}

/** What was said in the chat so far: the messages to open it with. The reply that is on its way is not among them. */
export async function saidBefore(id, server = "") {
  const response = await fetch(`${server}/api/chat/${id}`);
  const { messages } = await answerOf(response); // {messages, omitted, activeStreamId}
  return messages;
}

async function answerOf(response) {
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}
