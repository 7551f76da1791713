// Trees of plain data -> elements. Only here a model's text becomes elements, and only these: text becomes text
// nodes, whatever it looks like.

import { blocksOf, isSafe } from "./markdown.js";

const TAGS = new Set(
  "a blockquote button code del div em h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul".split(" "),
);
const ATTRIBUTES = new Set(["aria-label", "class", "href", "role", "start", "tabindex", "type"]);

const drawn = new WeakMap(); // element -> {source, open, keys} of the Markdown it shows

// Make the element show this Markdown. Only what has changed is touched: a selection stays, and nothing
// flickers.
export function showMarkdown(element, source, open) {
  const before = drawn.get(element);
  if (before?.source === source && before.open === open) return;
  const blocks = blocksOf(source, open);
  blocks.forEach(({ key, make }, place) => {
    if (before?.keys[place] !== key) patch(element, place, make());
  });
  trim(element, blocks.length);
  drawn.set(element, { source, open, keys: blocks.map(({ key }) => key) });
}

function patch(parent, place, node) {
  const there = parent.childNodes[place];
  if (typeof node === "string") patchText(parent, there, node);
  else if (there?.localName === node.tag && there.className === (node.attributes.class ?? "")) update(there, node);
  else put(parent, there, update(create(node.tag), node));
}

function patchText(parent, there, text) {
  if (there?.nodeType !== Node.TEXT_NODE) put(parent, there, document.createTextNode(text));
  else if (text.startsWith(there.data)) there.appendData(text.slice(there.data.length));
  else there.data = text;
}

function put(parent, there, fresh) {
  if (there) there.replaceWith(fresh);
  else parent.append(fresh);
}

function create(tag) {
  if (!TAGS.has(tag)) throw new Error(`no ${tag} in Markdown`);
  return document.createElement(tag);
}

function update(element, { tag, attributes, children }) {
  for (const { name } of [...element.attributes]) if (!(name in attributes)) element.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    const isAllowed = ATTRIBUTES.has(name) && (name !== "href" || isSafe(value));
    if (!isAllowed) throw new Error(`no ${name}=${value} in Markdown`);
    element.setAttribute(name, value);
  }
  if (tag === "a") {
    element.rel = "noopener noreferrer";
    element.target = "_blank";
  }
  children.forEach((child, place) => patch(element, place, child));
  trim(element, children.length);
  return element;
}

function trim(element, length) {
  while (element.childNodes.length > length) element.lastChild.remove();
}
