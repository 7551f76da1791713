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
    // A reply that was lost in the middle may have ended since.
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
  const { role, id, metadata } = chat.lastMessage ?? {};
  const which = role === "user" ? { messageId: id } : { activeStreamId: metadata?.activeStreamId };
  const response = await fetch(`${server}/api/chat/${chat.id}/stop`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(which),
  });
  return answerOf(response); // {verdict, status, settled_after_ms, turn, cleared, activeStreamId}
}

/** What was said in the chat before: the messages to open it with. */
export async function saidBefore(id, server = "") {
  const response = await fetch(`${server}/chat/${id}/messages`);
  if (response.status === 404) return []; // it is a new chat
  const { messages } = await answerOf(response);
  return messages
    .filter(({ role }) => role === "user" || role === "assistant")
    .map(({ role, content, cut_off: cutOff }, n) => ({
      id: `before-${n}`,
      role,
      parts: [{ type: "text", text: textOf(content) }],
      ...(cutOff && { metadata: { cutOff } }), // the reply is not whole
    }));
}

async function answerOf(response) {
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");
