// Requests to the server. Addresses are relative, so that the page works under a prefix.

const TOKEN_KEY = "turnkeeper.token";

let unauthorized = () => {};

// The handler gets whether a token was sent, which was refused then.
export function whenUnauthorized(handler) {
  unauthorized = handler;
}

export const keepToken = (token) => sessionStorage.setItem(TOKEN_KEY, token);

export const path = (session, ...tail) => ["chat", session, ...tail].map(encodeURIComponent).join("/");

// The answer as {status, ok, data}; status 0 means that there was none.
export async function call(method, address, body) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { "Content-Type": "application/json" };
  // A header carries bytes, one per character.
  if (token) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}`;
  try {
    const response = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    if (response.status === 401) unauthorized(Boolean(token));
    return { status: response.status, ok: response.ok, data: await response.json().catch(() => ({})) };
  } catch {
    return { status: 0, ok: false, data: { detail: "the server cannot be reached" } };
  }
}

export const problemOf = ({ status, data }) => data.detail ?? `the server answered ${status}`;
