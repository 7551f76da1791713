// The page's address names the session that it shows.

// An id that cannot be guessed.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The session that the address names: a new one if it names none.
export function addressed() {
  if (location.hash.length < 2) history.replaceState(null, "", `#${randomId()}`);
  return location.hash.slice(1);
}

export function newSession() {
  location.hash = randomId();
}
