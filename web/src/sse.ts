// Server-sent events (the WHATWG event stream format) out of text that arrives in arbitrary pieces.

export class SseParser {
  private line = "";
  private data: string[] = [];
  private sawReturn = false; // the last piece ended with \r: a leading \n belongs to it

  /** Feeds a piece; returns the data of the events that it completes. */
  push(piece: string): string[] {
    const events: string[] = [];
    let from = 0;
    if (this.sawReturn && piece.length > 0) {
      if (piece[0] === "\n") from = 1;
      this.sawReturn = false;
    }
    for (let at = from; at < piece.length; ++at) {
      const code = piece.charCodeAt(at);
      if (code !== 10 && code !== 13) continue;
      this.endLine(this.line + piece.slice(from, at), events);
      this.line = "";
      if (code === 13) {
        if (at + 1 === piece.length) this.sawReturn = true;
        else if (piece.charCodeAt(at + 1) === 10) ++at;
      }
      from = at + 1;
    }
    this.line += piece.slice(from);
    return events;
  }

  /** The end of the stream: an event whose blank line is missing still counts. */
  finish(): string[] {
    const events: string[] = [];
    if (this.line) this.endLine(this.line, events);
    this.endLine("", events);
    this.line = "";
    return events;
  }

  private endLine(line: string, events: string[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push(this.data.join("\n"));
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== "data") return; // comments (keep-alives), event, id and retry say nothing here
    const value = colon < 0 ? "" : line.slice(colon + 1);
    this.data.push(value.startsWith(" ") ? value.slice(1) : value);
  }
}
