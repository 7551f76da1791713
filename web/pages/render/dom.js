// Small helpers of all rendering.

export const $ = (id) => document.getElementById(id);

export const on = (target, name, handle) => target.addEventListener(name, handle);

export const copyOf = (template) => $(template).content.firstElementChild.cloneNode(true);

// Only new text is added, so that a selection stays.
export function setText(element, text) {
  const shown = element.textContent;
  element.hidden = !text;
  if (shown && text.startsWith(shown)) element.firstChild.appendData(text.slice(shown.length));
  else if (shown !== text) element.textContent = text;
}

// Bring a list's elements into this order, moving only those that are out of place.
export function arrange(list, elements) {
  elements.forEach((element, place) => {
    const there = list.children[place];
    if (there !== element) list.insertBefore(element, there ?? null);
  });
  while (list.children.length > elements.length) list.lastElementChild.remove();
}

// Have a screen reader say this when it has said what it says now.
export function announce(text) {
  $("announcer").textContent = text;
}

// On a touch screen this would open a keyboard over half of the screen.
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
  announce(button.textContent);
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
