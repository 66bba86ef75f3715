// Shows a growing text. Markdown is cut into top-level blocks, one element each; while the text grows only the
// blocks at its end are parsed and drawn again, so the cost of a step does not depend on the answer's length.
import { h } from "./dom";
import { lex, renderBlock } from "./markdown";

const kMaxText = 400_000; // characters: beyond it the text is shown plain
const kFrame = 32; // ms

/** What the lexer does to its input, done beforehand, so that the lengths of its tokens are lengths in our text. */
function normal(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/^( *)(\t+)/gm, (_, spaces, tabs) => spaces + "    ".repeat(tabs.length));
}

export class MarkdownView {
  readonly element = h("div", { class: "markdown" });
  private text = "";
  private raws: string[] = []; // the source of each block on display
  private settled = 0; // blocks that more text cannot change …
  private settledLength = 0; // … and the characters they cover
  private timer = 0;
  private pauseUntil = 0;

  /** Shows `text`, which continues the last one, soon: some 30 times a second, less often when drawing is slow. */
  grow(text: string): void {
    this.text = normal(text);
    if (this.timer) return;
    this.timer = window.setTimeout(() => this.step(), Math.max(kFrame, this.pauseUntil - performance.now()));
  }

  /** Shows the whole text at once, parsed as a whole. */
  show(text: string): void {
    clearTimeout(this.timer);
    this.timer = 0;
    this.text = normal(text);
    this.settled = this.settledLength = 0;
    this.draw(false);
  }

  private step(): void {
    this.timer = 0;
    const before = performance.now();
    this.draw(true);
    const cost = performance.now() - before;
    this.pauseUntil = before + Math.min(1000, cost * 4);
    this.element.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  }

  private draw(growing: boolean): void {
    if (this.text.length > kMaxText) {
      this.raws = [];
      this.element.replaceChildren(h("div", { class: "plain" }, this.text));
      return;
    }
    try {
      this.drawBlocks(growing);
    } catch (error) {
      // Nesting deeper than the stack, or a bug in a parser: the words still matter.
      console.warn("shown as plain text:", error);
      this.raws = [];
      this.settled = this.settledLength = 0;
      this.element.replaceChildren(h("div", { class: "plain" }, this.text));
    }
  }

  private drawBlocks(growing: boolean): void {
    const tokens = lex(this.text.slice(this.settledLength));
    const blocks = tokens.filter((token) => token.type !== "space");
    // A definition at the end gives links to blocks above it, whose source has not changed.
    if (!growing && Object.keys(tokens.links).length > 0) this.raws = [];
    blocks.forEach((token, i) => {
      const at = this.settled + i;
      if (this.raws[at] === token.raw) return;
      const element = h("div", { class: "block" });
      element.appendChild(renderBlock(token, tokens.links));
      const old = this.element.children[at];
      if (old) old.replaceWith(element);
      else this.element.appendChild(element);
      this.raws[at] = token.raw;
    });
    const count = this.settled + blocks.length;
    while (this.element.children.length > count) this.element.lastChild!.remove();
    this.raws.length = count;
    if (growing) this.settle(tokens);
  }

  /** Everything before the last block is final: what follows a block cannot reach back behind it. */
  private settle(tokens: { type: string; raw: string }[]): void {
    let last = tokens.length - 1;
    while (last >= 0 && tokens[last].type === "space") --last;
    for (const token of tokens.slice(0, Math.max(0, last))) {
      if (!this.text.startsWith(token.raw, this.settledLength)) return; // the lexer left out a link definition
      this.settledLength += token.raw.length;
      if (token.type !== "space") ++this.settled;
    }
  }
}
