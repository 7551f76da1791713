// Drives AG-UI's client: {call: "agent", args: [{url, ...}]} makes one; "runAgent" reports each event of a run, and
// "abortRun" ends the one that goes on.
import { HttpAgent } from "@ag-ui/client";

import { serve } from "./driver.mjs";

async function perform(call, agent, method, ...args) {
  if (method !== "runAgent") return agent[method](...args);
  const [{ messages = [], ...parameters } = {}] = args;
  for (const message of messages) agent.addMessage(message);
  const ran = await agent.runAgent(parameters, { onEvent: ({ event }) => call.report(event) });
  return { ...ran, messages: agent.messages, state: agent.state };
}

serve({ agent: (call, options) => new HttpAgent(options) }, perform);
