// The part of the libraries' interfaces that the page uses (the Debian packages carry no matching types).
declare module "marked" {
  export interface Token {
    type: string;
    raw: string;
    text?: string;
    tokens?: Token[];
    [field: string]: unknown;
  }
  export type TokenList = Token[] & { links: Record<string, unknown> };
  interface LexerThis {
    lexer: { inlineTokens(text: string, tokens?: Token[]): Token[] };
  }
  interface ParserThis {
    parser: { parseInline(tokens: Token[]): string };
  }
  export interface Extension {
    name: string;
    level: "block" | "inline";
    start(src: string): number | undefined;
    tokenizer(this: LexerThis, src: string): Token | undefined;
    renderer(this: ParserThis, token: Token): string;
  }
  export const marked: {
    lexer(text: string): TokenList;
    parser(tokens: TokenList): string;
    use(options: Record<string, unknown>): void;
  };
}

declare module "dompurify" {
  const DOMPurify: {
    sanitize(html: string, options: Record<string, unknown>): DocumentFragment;
  };
  export default DOMPurify;
}

declare module "formulas/katex.mjs" {
  const katex: {
    render(tex: string, target: HTMLElement, options: Record<string, unknown>): void;
  };
  export default katex;
}

declare module "highlight.js/lib/highlight" {
  const hljs: {
    registerLanguage(name: string, language: unknown): void;
    getLanguage(name: string): unknown;
    highlight(name: string, code: string, ignoreIllegals: boolean): { value: string };
  };
  export default hljs;
}

declare module "highlight.js/lib/languages/*" {
  const language: unknown;
  export default language;
}
