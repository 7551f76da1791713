// Small things that rendering needs everywhere.

export const $ = (id) => document.getElementById(id);

export const copyOf = (template) => $(template).content.firstElementChild.cloneNode(true);

// Only what is new is added: a selection stays.
export function setText(element, text) {
  const shown = element.textContent;
  element.hidden = !text;
  if (shown && text.startsWith(shown)) element.firstChild.appendData(text.slice(shown.length));
  else if (shown !== text) element.textContent = text;
}

// Bring a list's elements into this order, moving none that stands right.
export function arrange(list, elements) {
  elements.forEach((element, place) => {
    const there = list.children[place];
    if (there !== element) list.insertBefore(element, there ?? null);
  });
  while (list.children.length > elements.length) list.lastElementChild.remove();
}

// Where a keyboard would cover half of the screen, it is not opened unasked.
export function focusMessage() {
  if (!matchMedia("(pointer: coarse)").matches) $("message").focus();
}

export async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  $("announcer").textContent = button.textContent;
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
