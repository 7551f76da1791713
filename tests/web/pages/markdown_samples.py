"""Markdown for the page's renderer to be tried on, and what is asked of it in the browser."""

import random

#: What a model could say that wants to be more than text.
HOSTILE_SAMPLES = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<svg/onload=document.title='pwned'><iframe srcdoc='<script>1</script>'>",
    "[click](javascript:document.title='pwned')",
    "[click](JaVaScRiPt:alert(1)) ![x](javascript:alert(1))",
    "[click]( javascript:alert(1)) [a](\tjavascript:alert(1)) [b](java\nscript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=) [v](vbscript:x) [f](file:///etc/passwd) [r](//evil.example)",
    '[x](https://a.example/" onmouseover="alert(1)) <https://a.example/"onclick="x>',
    '[x](https://a.example "t" onclick="x") [<img src=x onerror=alert(1)>](https://a.example)',
    "```<script>\n</code></pre><script>alert(1)</script>\n```",
    '```" onclick="alert(1)\nx\n```',
    "`</code><script>alert(1)</script>`",
    "| <b> | <script> |\n|---|---|\n| <img src=x onerror=alert(1)> | [x](javascript:1) |",
    "# <style>*{display:none}</style>\n> <base href=//evil>\n- <form action=//evil><input name=x>",
    "&lt;script&gt; &#60;script&#62; \x00\u202e\ufeff\u2028",
    "constructor __proto__ toString [constructor](__proto__) **hasOwnProperty**",
    "`" * 99 + "a" + "`" * 98,
    "~~~~\n```\n~~~\n````\n~~~~\nafter",
]

#: Pieces that mean something, each the start of something that takes time if it is done badly.
PIECES = [
    *(
        "*",
        "**",
        "_",
        "`",
        "``",
        "~~",
        "[",
        "](",
        "![",
        "<",
        "<http://",
        "https://(",
        "\\",
        "|",
        "- ",
        "1. ",
        "> ",
    ),
    *(
        "# ",
        "\n",
        "\n\n",
        "```",
        "~~~\n",
        "|-",
        "  ",
        "\t",
        "a",
        "b ",
        "é😀",
        "[a]",
        "(b)",
        "*a ",
        "\n- a",
        "\n  - b",
    ),
]

#: Runs in the page; its arguments are what to import and the samples. Answers what was wrong.
CHECK = """
const [base, samples, done] = arguments;
(async () => {
  const { showMarkdown } = await import(`${base}render/render-markdown.js`);
  const inline = "a button code del em span strong";
  const block = "blockquote div h4 h5 h6 hr li ol p pre table tbody td th thead tr ul";
  const allowed = new Set(`${inline} ${block}`.split(" "));
  const attributes = new Set("aria-label class href rel role start tabindex target type".split(" "));
  const letters = (text) => text.replace(/[^\\p{L}]/gu, "");
  const shown = (element) => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll("button").forEach((button) => button.remove());
    return letters(copy.textContent);
  };
  const isWithin = (short, long) => {
    let at = 0;
    for (const letter of short) {
      at = long.indexOf(letter, at) + letter.length;
      if (at < letter.length) return false;
    }
    return true;
  };
  const wrong = [];
  for (const sample of samples) {
    for (const open of [false, "cut", "growing"]) {
      const complain = (what) => wrong.push([what, open, sample.slice(0, 300)]);
      const element = document.createElement("div");
      const began = performance.now();
      showMarkdown(element, sample, open);
      if (performance.now() - began > 2000) complain("slow");
      for (const each of element.querySelectorAll("*")) {
        if (!allowed.has(each.localName)) complain(each.localName);
        for (const { name } of each.attributes) if (!attributes.has(name)) complain(name);
        if (each.localName !== "a") continue;
        if (!["http:", "https:"].includes(each.protocol)) complain(each.href);
        if (each.rel !== "noopener noreferrer" || each.target !== "_blank") complain("no rel");
      }
      const [said, text] = [letters(sample), shown(element)];
      if (!isWithin(text, said)) complain("text that was not in the source");
      // The address of a link is not shown, nor half of one; nor what is held back.
      const isLinked = element.querySelector("a") || (open && sample.includes("]("));
      const isAllShown = open !== "growing" && !isLinked;
      if (isAllShown && text !== said) complain("text is lost");
    }
  }
  done(wrong);
})().catch((error) => done([[String(error)]]));
"""

#: Shows every beginning of a text as it would stream, and answers what was shown to be taken back.
STREAM = """
const [base, text, done] = arguments;
(async () => {
  const { showMarkdown } = await import(`${base}render/render-markdown.js`);
  const element = document.createElement("div");
  const whole = document.createElement("div");
  showMarkdown(whole, text, false);
  const kinds = (root) => [...root.querySelectorAll("*")].map((each) => each.localName);
  const squeeze = (root) => {
    const copy = root.cloneNode(true);
    copy.querySelectorAll("button").forEach((button) => button.remove());
    return copy.textContent.replace(/\\s/g, "");
  };
  const wrong = [];
  let blocks = [];
  for (let end = 1; end <= text.length; end += 1) {
    showMarkdown(element, text.slice(0, end), "growing");
    const now = [...element.children];
    const complain = (what) => wrong.push([what, text.slice(end - 40, end)]);
    if (!squeeze(whole).startsWith(squeeze(element))) complain("words");
    if (!kinds(element).every((kind, place) => kind === kinds(whole)[place])) complain("elements");
    if (!blocks.every((block, place) => block === now[place])) complain("a block was made anew");
    blocks = now;
  }
  showMarkdown(element, text, false);
  if (element.innerHTML !== whole.innerHTML) wrong.push(["the end differs", element.innerHTML]);
  done(wrong.slice(0, 5));
})().catch((error) => done([[String(error)]]));
"""


def noise(seed: int, count: int) -> list[str]:
    """Texts of random pieces, the same for the same seed."""
    dice = random.Random(seed)
    return ["".join(dice.choices(PIECES, k=dice.randrange(1, 60))) for _ in range(count)]


def floods() -> list[str]:
    """Ten thousand characters of each piece over and over."""
    return [piece * (10_000 // len(piece)) for piece in PIECES]
