// Changes that were not stored yet when a page went away: browsers drop a transaction whose page is gone before it
// ended. localStorage is written at once, so they wait there for the next page.
const kPrefix = "xiaohu.unsaved.";

/** Keeps the state of a record, null for one that was removed. One that is too large for localStorage is let go. */
export function keepUnsaved(id: string, value: unknown): void {
  try {
    localStorage.setItem(kPrefix + id, JSON.stringify(value));
  } catch {
    /* full or forbidden: the transaction may still end */
  }
}

/** `text`: only if nothing else was kept since. */
export function dropUnsaved(id: string, text?: string): void {
  try {
    if (text === undefined || localStorage.getItem(kPrefix + id) === text) localStorage.removeItem(kPrefix + id);
  } catch {
    /* forbidden: nothing is kept either */
  }
}

/** What waits, as it was kept. */
export function allUnsaved(): { id: string; text: string }[] {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(kPrefix));
    return keys.map((key) => ({ id: key.slice(kPrefix.length), text: localStorage.getItem(key) ?? "null" }));
  } catch {
    return [];
  }
}
