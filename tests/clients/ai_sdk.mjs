// Drives the class behind `useChat`: {call: "chat", args: [{id, api, ...}]} makes one, whose state is reported under
// this id with each change; "sendMessage", "stop", "resumeStream" and its other methods are then called on it. With
// `cut` its network is lost after so many events, with `hold` it reads no further until it may.
import { setImmediate as immediate } from "node:timers/promises";

import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

import { serve, told } from "./driver.mjs";

/** A `fetch` that counts the events that it has read for this call. */
function counting(call) {
  return async (...request) => {
    const response = await fetch(...request);
    if (!response.body) return response;
    let rest = "";
    const events = new TransformStream({
      async transform(text, out) {
        const whole = (rest + text).split("\n\n");
        rest = whole.pop();
        for (const event of whole) {
          out.enqueue(event + "\n\n");
          if (await call.passed()) continue;
          await immediate(); // what was read is taken first
          return out.error(new TypeError("network error")); // as a browser does whose network is lost
        }
      },
      flush: (out) => out.enqueue(rest),
    });
    const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(events);
    return new Response(body.pipeThrough(new TextEncoderStream()), response);
  };
}

function state({ chat, finished, data }) {
  const { messages, status, error } = chat;
  return { messages, status, error: error ? told(error) : null, finished, data };
}

function open(call, { id, messages, experimental_queue, ...transport }) {
  const opened = { finished: [], data: [] };
  let [dirty, reporting] = [false, false];
  const changed = async () => {
    dirty = true;
    if (reporting) return;
    reporting = true;
    while (dirty) {
      await immediate(); // what changes at once is reported once
      dirty = false;
      await call.report(state(opened));
    }
    reporting = false;
  };
  opened.chat = new Chat({
    id,
    messages,
    experimental_queue,
    transport: new DefaultChatTransport({ fetch: counting(call), ...transport }),
    onData: (part) => void opened.data.push(part),
    onFinish: ({ isAbort, isDisconnect, isError, finishReason }) => {
      opened.finished.push({ isAbort, isDisconnect, isError, finishReason });
      changed();
    },
  });
  for (const what of ["Messages", "Status", "Error"]) opened.chat[`~register${what}Callback`](changed);
  return opened;
}

async function perform(call, opened, method, ...args) {
  await opened.chat[method](...args);
  return state(opened);
}

serve({ chat: open }, perform);
