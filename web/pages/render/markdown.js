// Markdown -> a tree of plain data: strings, and {tag, attributes, children}. Pure; render-markdown.js draws it.
// What it does not know (HTML, entities, images) stays text.
//
// `open` says that the text is not whole. It is "growing", or was "cut" off: what has been begun counts as meant
// (an unclosed ** is bold already). In a growing text, what is still undecided (a lone "-", half a link) is held
// back, so that nothing is shown and then taken back.

const DEEPEST = 8; // quotes and lists in each other; emphasis in emphasis

const element = (tag, attributes, ...children) => ({ tag, attributes, children });

// -- Blocks ---------------------------------------------------------------------------------------------

const FENCE = /^[ \t]*(`{3,}|~{3,})[ \t]*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(\S.*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^[ \t]*([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const TABLE_RULE = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const UNDECIDED = /^[ \t>]*(?:[-*+_=#>|`~: \t]+|\d{1,9}[.)]?[ \t]*)$/;

// The blocks of a text as {key, make()}: a block whose key is the same has not changed. One element each.
export function blocksOf(source, open = false) {
  return parse(source.split(/\r\n?|\n/), open, 0);
}

function parse(given, open, depth) {
  const lines = open === "growing" && UNDECIDED.test(given.at(-1)) ? given.slice(0, -1) : given;
  const found = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) at += 1;
    else {
      const { end, make } = blockAt(lines, at, open, depth);
      found.push({ key: lines.slice(at, end).join("\n"), make });
      at = end;
    }
  }
  return found.map(({ key, make }, place) => {
    const still = place === found.length - 1 && open;
    return { key: `${still} ${key}`, make: () => make(still) };
  });
}

const BLOCKS = [fence, heading, rule, quote, list, table];

function blockAt(lines, at, open, depth) {
  for (const read of BLOCKS) {
    const block = read(lines, at, open, depth);
    if (block) return block;
  }
  return paragraph(lines, at);
}

const isBlank = (line) => !line.trim();

function indentOf(line) {
  let columns = 0;
  for (const each of line) {
    if (each !== " " && each !== "\t") break;
    columns += each === "\t" ? 4 : 1;
  }
  return columns;
}

function dedent(line, columns) {
  let at = 0;
  let left = columns;
  for (; left > 0 && (line[at] === " " || line[at] === "\t"); at += 1) left -= line[at] === "\t" ? 4 : 1;
  return line.slice(at);
}

function fence(lines, at) {
  const opening = FENCE.exec(lines[at]);
  if (!opening) return null;
  const [, mark, info] = opening;
  const closes = (line) => FENCE.exec(line)?.[1].startsWith(mark) && FENCE.exec(line)[1] === line.trim();
  let end = at + 1;
  while (end < lines.length && !closes(lines[end])) end += 1;
  const indent = indentOf(lines[at]);
  const body = lines.slice(at + 1, end).map((line) => dedent(line, indent));
  return { end: Math.min(end + 1, lines.length), make: () => codeBlock(info.trim(), body.join("\n")) };
}

function codeBlock(language, text) {
  return element(
    "div",
    { class: "code" },
    element(
      "div",
      { class: "bar" },
      element("span", { class: "language" }, language),
      element("button", { class: "copy", type: "button", "aria-label": "Copy code" }, "Copy"),
    ),
    element("pre", { tabindex: "0", role: "group", "aria-label": `Code ${language}`.trim() }, element("code", {}, text)),
  );
}

// The page has headings of its own above these.
function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  if (!found) return null;
  const level = found[1].length;
  const text = found[2].replace(/[ \t]+#+[ \t]*$/, "");
  const make = (open) => element(`h${Math.min(6, level + 3)}`, { class: `level${level}` }, ...inline(text, open));
  return { end: at + 1, make };
}

function rule(lines, at) {
  return RULE.test(lines[at]) ? { end: at + 1, make: () => element("hr", {}) } : null;
}

function quote(lines, at, _open, depth) {
  if (!QUOTE.test(lines[at]) || depth >= DEEPEST) return null;
  let end = at + 1;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  const make = (open) => element("blockquote", {}, ...parse(inner, open, depth + 1).map((each) => each.make()));
  return { end, make };
}

function list(lines, start, _open, depth) {
  const first = itemAt(lines[start]);
  if (!first || depth >= DEEPEST) return null;
  const items = [];
  const base = indentOf(lines[start]);
  const isSibling = (line) => indentOf(line) < base + 2 && itemAt(line)?.ordered === first.ordered && !RULE.test(line);
  const belongs = (line) => indentOf(line) >= base + 2 || isSibling(line);
  let at = start;
  while (at < lines.length) {
    const line = lines[at];
    if (isBlank(line)) {
      let next = at + 1;
      while (next < lines.length && isBlank(lines[next])) next += 1;
      if (next === lines.length || !belongs(lines[next])) break;
      items.at(-1).lines.push("");
      at = next;
      continue;
    }
    if (isSibling(line)) {
      const { width } = itemAt(line);
      items.push({ width, lines: [line.slice(/^[ \t]*/.exec(line)[0].length).slice(width - indentOf(line))] });
    } else if (indentOf(line) >= base + 2) items.at(-1).lines.push(dedent(line, items.at(-1).width));
    else if (isBlank(lines[at - 1]) || itemAt(line) || beginsBlock(lines, at)) break;
    else items.at(-1).lines.push(line);
    at += 1;
  }
  const make = (open) =>
    element(
      first.ordered ? "ol" : "ul",
      first.ordered && first.number !== 1 ? { start: String(first.number) } : {},
      ...items.map((item, place) => itemElement(item.lines, place === items.length - 1 && open, depth + 1)),
    );
  return { end: at, make };
}

function itemAt(line) {
  const found = ITEM.exec(line);
  if (!found) return null;
  const ordered = found[1].length > 1;
  const marked = indentOf(line) + found[1].length;
  const space = found[0].length - found[0].trimEnd().length;
  return { ordered, number: Number.parseInt(found[1], 10), width: marked + Math.min(Math.max(space, 1), 4) };
}

function itemElement(lines, open, depth) {
  const [first, ...others] = parse(lines, open, depth).map((each) => each.make());
  if (!first) return element("li", {});
  return element("li", {}, ...(first.tag === "p" ? first.children : [first]), ...others);
}

function table(lines, at, open) {
  const header = cellsOf(lines[at]);
  const isBegun = open && at === lines.length - 1 && /^[ \t]*\|/.test(lines[at]);
  if (!isBegun && !isTable(lines, at, header)) return null;
  const sides = cellsOf(lines[at + 1] ?? "").map(sideOf);
  let end = Math.min(at + 2, lines.length);
  while (end < lines.length && lines[end].includes("|") && !beginsBlock(lines, end)) end += 1;
  const rows = lines.slice(at + 2, end).map(cellsOf);
  const cell = (tag, text, place, still) =>
    element(tag, sides[place] ? { class: sides[place] } : {}, ...inline(text, still));
  const row = (tag, cells, still) =>
    element("tr", {}, ...header.map((_, place) => cell(tag, cells[place] ?? "", place, still)));
  const make = (still) => {
    const isLast = (place) => place === rows.length - 1 && still;
    const head = element("thead", {}, row("th", header, isLast(-1)));
    const body = element("tbody", {}, ...rows.map((cells, place) => row("td", cells, isLast(place))));
    const whole = element("table", {}, ...(rows.length ? [head, body] : [head]));
    return element("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, whole);
  };
  return { end, make };
}

function isTable(lines, at, header) {
  const second = lines[at + 1];
  if (!lines[at].includes("|") || !second?.includes("-") || !TABLE_RULE.test(second)) return false;
  return cellsOf(second).length === header.length;
}

function cellsOf(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim());
}

function sideOf(cell) {
  if (!cell.endsWith(":")) return "";
  return cell.startsWith(":") ? "center" : "right";
}

// A line's end is a new line here: people and models mean it so.
function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !beginsBlock(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join("\n");
  return { end, make: (open) => element("p", {}, ...inline(text, open)) };
}

function beginsBlock(lines, at) {
  const line = lines[at];
  if ([FENCE, HEADING, RULE, QUOTE].some((each) => each.test(line))) return true;
  const item = itemAt(line);
  if (item && !isBlank(line.replace(ITEM, "")) && (!item.ordered || item.number === 1)) return true;
  return /^[ \t]*\|/.test(line) && isTable(lines, at, cellsOf(line));
}

// -- Within a block -------------------------------------------------------------------------------------

const SPECIAL = /\\[\\`*_~[\]<>#+\-.!|]|`+|\*+|_+|~~|!?\[|<https?:\/\/|https?:\/\//gi;
const LINK = /!?\[((?:[^[\]]|\[[^[\]]*\])*)\]\([ \t]*(?:<([^<>\s]*)>|((?:[^\s()<>]|\([^\s()<>]*\))*))(?:[ \t]+"[^"]*")?[ \t]*\)/y;
const HALF_LINK = /!?\[([^[\]]*)(?:\](?:\((?:[^()]|\([^()]*\))*(?:\([^()]*)?)?)?$/y;
const ADDRESS = /https?:\/\/(?:[^\s<>"`|()]|\([^\s<>"`|()]*\))+/iy;
const HELD_BACK = /(?:(?<![*_~`\\])[*_~`\\]+|!?\[|<(?:h[^\s<>]*)?)$/i;
const LETTER = /[\p{L}\p{N}]/u;
const TAGS = { "*": "em", _: "em", "**": "strong", __: "strong", "~~": "del" };

// Only these two lead anywhere; whatever else claims to be a link is text.
export function isSafe(address) {
  return /^https?:\/\//i.test(address) && URL.canParse(address);
}

function inline(given, open = false, links = true) {
  const text = open === "growing" ? given.replace(HELD_BACK, "") : given;
  const [out, unclosed, special] = [new Emphasis(), new Set(), new RegExp(SPECIAL)];
  let at = 0;
  for (let found; (found = special.exec(text)); special.lastIndex = at) {
    out.add(text.slice(at, found.index));
    const token = { text, open, links, unclosed, at: found.index, mark: found[0] };
    at = found.index + read(token, out);
  }
  out.add(text.slice(at));
  return out.end(open);
}

// Adds what stands there, and returns how much of the text it took.
function read(token, out) {
  const { text, at, mark } = token;
  const [kind] = mark;
  const taken =
    (kind === "\\" && readEscape(token, out)) ||
    (kind === "`" && readCode(token, out)) ||
    (mark.endsWith("[") && readLink(token, out)) ||
    (/^<?h/i.test(mark) && readAddress(token, out)) ||
    ("*_~".includes(kind) && out.mark(mark, text[at - 1] ?? " ", text[at + mark.length] ?? " "));
  if (taken) return taken;
  out.add(mark);
  return mark.length;
}

function readEscape({ mark }, out) {
  out.add(mark[1]);
  return mark.length;
}

function readCode({ text, at, mark, open, unclosed }, out) {
  if (unclosed.has(mark.length)) return 0;
  const start = at + mark.length;
  const close = new RegExp(`(?<!\`)\`{${mark.length}}(?!\`)`, "g");
  close.lastIndex = start;
  const found = close.exec(text);
  if (!found && !open) {
    unclosed.add(mark.length);
    return 0;
  }
  const end = found ? found.index : text.length;
  const body = text.slice(start, end);
  const padded = found && /^ .*\S.* $/s.test(body);
  out.add(element("code", {}, padded ? body.slice(1, -1) : body));
  return end + (found ? mark.length : 0) - at;
}

function readLink({ text, at, open, links }, out) {
  LINK.lastIndex = at;
  const found = LINK.exec(text);
  if (found) {
    const address = found[2] ?? found[3];
    if (!links || !isSafe(address)) return 0;
    out.add(element("a", { href: address }, ...inline(found[1] || address, false, false)));
    return found[0].length;
  }
  HALF_LINK.lastIndex = at;
  const half = open && links && HALF_LINK.exec(text);
  if (!half) return 0;
  for (const each of inline(half[1], open, false)) out.add(each);
  return half[0].length;
}

function readAddress({ text, at, mark, links }, out) {
  const angled = mark[0] === "<";
  ADDRESS.lastIndex = at + (angled ? 1 : 0);
  const found = links && ADDRESS.exec(text);
  if (!found) return 0;
  const address = angled ? found[0] : found[0].replace(/(?<![.,;:!?*_~'\]])[.,;:!?*_~'\]]+$/, "");
  const closed = text[at + 1 + found[0].length] === ">";
  if (!isSafe(address) || (angled && !closed)) return 0;
  out.add(element("a", { href: address }, address));
  return address.length + (angled ? 2 : 0);
}

// The marks that are open, the outermost first, each with what came after it.
class Emphasis {
  #frames = [{ mark: "", children: [] }];

  add(node) {
    append(this.#frames.at(-1).children, node);
  }

  // Takes a run of marks to close what is open, or else to open; returns 0 if it is neither.
  mark(run, before, after) {
    const [kind, spaced] = [run[0], /\s/];
    const closes = !spaced.test(before) && !(kind === "_" && LETTER.test(after));
    const opens = !spaced.test(after) && !(kind === "_" && LETTER.test(before));
    let left = run;
    while (closes && left && this.#close(left)) left = left.slice(this.#closed);
    if (run.length > 3 || (left && !opens)) {
      this.add(left);
      return run.length;
    }
    for (; left; left = left.slice(2)) this.#open(left.slice(0, 2));
    return run.length;
  }

  end(open) {
    while (open && this.#frames.length > 1) this.#closeLast();
    this.#flatten(0);
    return this.#frames[0].children;
  }

  #closed = 0;

  #close(run) {
    const same = this.#frames.findLastIndex(({ mark }) => mark === run);
    const place = same > 0 ? same : this.#frames.findLastIndex(({ mark }) => mark && run.startsWith(mark));
    if (place < 0 || !this.#frames.slice(place).some(({ children }) => children.length)) return false;
    this.#flatten(place);
    this.#closed = this.#frames.at(-1).mark.length;
    this.#closeLast();
    return true;
  }

  #open(mark) {
    if (this.#frames.length > DEEPEST) {
      const [outer, oldest] = this.#frames.splice(0, 2); // what stayed open so long is text
      for (const each of [oldest.mark, ...oldest.children]) append(outer.children, each);
      this.#frames.unshift(outer);
    }
    this.#frames.push({ mark, children: [] });
  }

  #closeLast() {
    const { mark, children } = this.#frames.pop();
    if (children.length) this.add(element(TAGS[mark], {}, ...children));
  }

  // Marks above that place were none.
  #flatten(place) {
    for (const { mark, children } of this.#frames.splice(place + 1)) {
      for (const each of [mark, ...children]) this.add(each);
    }
  }
}

function append(children, node) {
  if (typeof node === "string" && typeof children.at(-1) === "string") children[children.length - 1] += node;
  else if (node !== "") children.push(node);
}
