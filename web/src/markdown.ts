// A model's answer → DOM. The answer is untrusted: it may have been steered by a document.
//   text → marked (its HTML is escaped, links checked, images become links) → DOMPurify with a short allow-list
//        → a DOM fragment; formulas and code frames are then built with DOM calls only.
import DOMPurify from "dompurify";
import katex from "formulas/katex.mjs";
import { Extension, marked, Token, TokenList } from "marked";
import { h, icon } from "./dom";
import { highlight } from "./highlight";
import { t } from "./i18n";

const kMaxFormula = 4000; // characters; also bounds the search for a formula's end

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** The address of a link that may be followed by a click, or null: no scripts, no data, nothing relative. */
export function safeLink(address: string): string | null {
  try {
    const url = new URL(address.replace(/&amp;/g, "&"));
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(href: string | null, label: string): string {
  const safe = href === null ? null : safeLink(href);
  if (safe === null) return label;
  return `<a href="${escapeHtml(safe)}" title="${escapeHtml(safe)}">${label}</a>`;
}

// Small inline tags that models use in tables and chemistry; without attributes they are harmless.
const kPlainTags = /^<\/?(?:br|sub|sup|kbd|mark|b|i|u|s|em|strong|small|hr)\s*\/?>$/i;

const renderer = {
  html: (html: string) => (kPlainTags.test(html.trim()) ? html : escapeHtml(html)),
  link: (href: string | null, _title: string | null, text: string) => link(href, text),
  image: (href: string | null, _title: string | null, text: string) => link(href, "🖼 " + (text || escapeHtml(href ?? ""))),
  checkbox: (checked: boolean) => (checked ? "☑ " : "☐ "),
  code: (code: string, info: string | undefined) => {
    const language = (info ?? "").trim().split(/\s+/)[0].toLowerCase();
    return `<pre data-lang="${escapeHtml(language)}"><code>${highlight(code, language) ?? escapeHtml(code)}</code></pre>`;
  },
};

function math(tex: string, display: boolean): string {
  return `<span class="math" data-tex="${escapeHtml(tex)}"${display ? ' data-display="1"' : ""}></span>`;
}

/** The text between `open` at the start of `src` and the next `close`, not too far away. */
function between(src: string, open: string, close: string): string | null {
  if (!src.startsWith(open)) return null;
  const end = src.slice(0, kMaxFormula).indexOf(close, open.length);
  const inner = end < 0 ? "" : src.slice(open.length, end);
  return inner.trim() ? inner : null;
}

const inlineMath: Extension = {
  name: "inlineMath",
  level: "inline",
  start: (src) => indexOrNone(src.search(/\$|\\[([]/)),
  tokenizer(src) {
    for (const [open, close, display] of [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false]] as const) {
      const tex = between(src, open, close);
      if (tex !== null) return { type: "inlineMath", raw: open + tex + close, text: tex, display };
    }
    // "$5 and $6" is money: the opening sign has no space after it, the closing one no space before and no digit after.
    const dollar = /^\$(?![\s$])((?:\\[\s\S]|[^$\\\n]){1,1000})\$(?!\d)/.exec(src);
    if (dollar && !/\s$/.test(dollar[1])) return { type: "inlineMath", raw: dollar[0], text: dollar[1], display: false };
    return undefined;
  },
  renderer: (token) => math(token.text ?? "", token.display === true),
};

const blockMath: Extension = {
  name: "blockMath",
  level: "block",
  start: (src) => indexOrNone(src.search(/(?:^|\n) {0,3}(?:\$\$|\\\[)/)),
  tokenizer(src) {
    const indent = /^\n? {0,3}/.exec(src)![0];
    for (const [open, close] of [["$$", "$$"], ["\\[", "\\]"]]) {
      const tex = between(src.slice(indent.length), open, close);
      if (tex === null) continue;
      const end = indent.length + open.length + tex.length + close.length;
      const rest = /^[ \t]*(?:\n|$)/.exec(src.slice(end, end + 80));
      if (rest) return { type: "blockMath", raw: src.slice(0, end + rest[0].length), text: tex };
    }
    return undefined;
  },
  renderer: (token) => `<p>${math(token.text ?? "", true)}</p>`,
};

// CommonMark refuses "**注意:**请" (punctuation inside, a letter after), which is everyday Chinese.
const lenientStrong: Extension = {
  name: "lenientStrong",
  level: "inline",
  start: (src) => indexOrNone(src.indexOf("**")),
  tokenizer(src) {
    const match = /^\*\*(?![\s*])([^*\n]{1,2000})\*\*(?!\*)/.exec(src);
    if (!match || /\s$/.test(match[1])) return undefined;
    return { type: "lenientStrong", raw: match[0], text: match[1], tokens: this.lexer.inlineTokens(match[1], []) };
  },
  renderer(token) {
    return `<strong>${this.parser.parseInline(token.tokens ?? [])}</strong>`;
  },
};

function indexOrNone(index: number): number | undefined {
  return index < 0 ? undefined : index;
}

marked.use({ gfm: true, breaks: true, headerIds: false, mangle: false, renderer, extensions: [inlineMath, blockMath, lenientStrong] });

const kAllowed = {
  ALLOWED_TAGS: ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "b", "i", "u", "s", "del", "small", "sub", "sup", "kbd", "mark", "blockquote", "ul", "ol", "li", "a", "code", "pre", "span", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align", "data-tex", "data-display", "data-lang"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

export function lex(text: string): TokenList {
  return marked.lexer(text);
}

/** One block of Markdown as DOM. `links` are the reference definitions of the whole text. */
export function renderBlock(token: Token, links: TokenList["links"]): DocumentFragment {
  const list = [token] as TokenList;
  list.links = links;
  const fragment = DOMPurify.sanitize(marked.parser(list), kAllowed);
  fragment.querySelectorAll("a").forEach((a) => {
    a.target = "_blank";
    a.rel = "noopener noreferrer nofollow";
  });
  fragment.querySelectorAll<HTMLElement>("span.math").forEach(renderFormula);
  fragment.querySelectorAll("pre").forEach(frameCode);
  fragment.querySelectorAll("table").forEach((table) => {
    const frame = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": t("table") });
    table.replaceWith(frame);
    frame.appendChild(table);
  });
  return fragment;
}

/** KaTeX sets styles through the DOM, which the security policy allows (style attributes in HTML it does not). */
function renderFormula(span: HTMLElement): void {
  const tex = span.dataset.tex ?? "";
  try {
    katex.render(tex, span, { displayMode: span.dataset.display === "1", throwOnError: true, strict: "ignore", trust: false, maxSize: 20, maxExpand: 500 });
  } catch {
    span.textContent = tex;
    span.classList.add("math-error");
  }
  span.removeAttribute("data-tex");
}

function frameCode(pre: HTMLElement): void {
  const frame = h("div", { class: "code" },
    h("div", { class: "code-head" },
      h("span", {}, pre.dataset.lang || t("code")),
      h("button", { type: "button", class: "code-copy" }, icon("copy"), h("span", {}, t("copy")))));
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  frame.appendChild(pre);
}
