// Drives `openai`: {call: "client", args: [options]} makes a client; any of its methods by its path, like
// "responses.create" or "chat.completions.stream", is then called on it: {args: [params, options, ...ids]}. What can be
// iterated is reported one by one.
import OpenAI from "openai";

import { serve } from "./driver.mjs";

function bound(client, path) {
  const names = path.split(".");
  const method = names.pop();
  const owner = names.reduce((part, name) => part[name], client);
  return owner[method].bind(owner);
}

async function perform(call, client, path, params, options, ...ids) {
  // Not awaited yet: a list of models is a promise that can be iterated.
  const more = params ? [params, { ...options, signal: call.signal }] : [];
  let given = bound(client, path)(...ids, ...more);
  if (!given[Symbol.asyncIterator]) given = await given;
  if (!given?.[Symbol.asyncIterator]) return given;
  call.signal.addEventListener("abort", () => (given.controller ?? given).abort());
  for await (const each of given) {
    await call.report(each);
    if (!(await call.passed())) return null; // leaving the loop hangs up
  }
  // The helpers put what has come together.
  if (given.finalResponse) return given.finalResponse();
  if (given.finalChatCompletion) return given.finalChatCompletion();
  return null;
}

serve({ client: (call, options) => new OpenAI(options) }, perform);
