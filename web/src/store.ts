// Conversations: a tree of messages each, kept in IndexedDB. Editing and regenerating add a branch, so
// nothing that was said is ever lost; `head` names the leaf of the branch on display.
import { ChatSettings, cleanSettings } from "./prefs";
import { allUnsaved, dropUnsaved, keepUnsaved } from "./unsaved";

export interface Stats {
  tokens: number;
  promptTokens: number;
  seconds: number; // from the first token to the last
  firstToken: number; // seconds until the first token
}

export interface Message {
  id: string;
  parent: string | null;
  role: "user" | "assistant";
  text: string;
  at: number;
  reasoning?: string;
  thinkSeconds?: number;
  model?: string;
  finish?: string; // "stop", "length", "stopped" (by the user); none while it is written or after an error
  stats?: Stats;
  problem?: { kind: string; message: string; retryAfter: number | null };
}

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  head: string | null;
  messages: Record<string, Message>;
  settings: ChatSettings;
}

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newConversation(settings: ChatSettings): Conversation {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, head: null, messages: {}, settings: { ...settings } };
}

/** From the first message to `from` (by default the head). */
export function pathOf(conversation: Conversation, from: string | null = conversation.head): Message[] {
  const path: Message[] = [];
  for (let id = from; id !== null; ) {
    const message: Message | undefined = conversation.messages[id];
    if (!message || path.length > 100_000) break;
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

function childrenOf(conversation: Conversation, parent: string | null): Message[] {
  return Object.values(conversation.messages)
    .filter((message) => message.parent === parent)
    .sort((a, b) => a.at - b.at);
}

/** The versions of a message, oldest first. */
export function versionsOf(conversation: Conversation, message: Message): Message[] {
  return childrenOf(conversation, message.parent);
}

/** Shows the branch through `message`, down to its newest leaf. */
export function selectBranch(conversation: Conversation, message: Message): void {
  let leaf = message;
  for (let next: Message[] = [leaf]; next.length > 0; next = childrenOf(conversation, leaf.id)) leaf = next[next.length - 1];
  conversation.head = leaf.id;
}

export function addMessage(conversation: Conversation, parent: string | null, role: Message["role"], text: string): Message {
  const now = Date.now();
  const message: Message = { id: newId(), parent, role, text, at: now };
  conversation.messages[message.id] = message;
  conversation.head = message.id;
  conversation.updated = now;
  return message;
}

export function titleFrom(text: string): string {
  const line = text.trim().replace(/\s+/g, " ");
  const letters = Array.from(line);
  return letters.length > 60 ? letters.slice(0, 60).join("") + "…" : line;
}

/** Rebuilds a conversation from untrusted data (an imported file), or null if it is none. */
export function cleanConversation(raw: unknown): Conversation | null {
  if (typeof raw !== "object" || raw === null) return null;
  const from = raw as Record<string, any>;
  if (typeof from.messages !== "object" || from.messages === null) return null;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const time = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : Date.now());
  const result = newConversation(cleanSettings(from.settings));
  const renamed = new Map<string, string>(); // fresh ids: an import never overwrites
  const list: Record<string, any>[] = Object.values(from.messages).filter((m: any) => m && (m.role === "user" || m.role === "assistant")) as any[];
  list.sort((a, b) => time(a.at) - time(b.at));
  for (const message of list) {
    const id = newId();
    const parent = message.parent === null ? null : renamed.get(text(message.parent));
    if (parent === undefined) continue;
    renamed.set(text(message.id), id);
    result.messages[id] = { id, parent, role: message.role, text: text(message.text), at: time(message.at), reasoning: text(message.reasoning) || undefined, model: text(message.model) || undefined, finish: text(message.finish) || "stop" };
  }
  result.title = titleFrom(text(from.title));
  result.created = time(from.created);
  result.updated = time(from.updated);
  result.head = renamed.get(text(from.head)) ?? null;
  const first = childrenOf(result, null)[0];
  if (result.head === null && first) selectBranch(result, first);
  return first ? result : null;
}

/** The database; without one (private windows of some browsers) conversations last as long as the page. */
export class Store {
  private readonly writing = new Map<string, { value: Conversation | null }>(); // by id; null: removed

  private constructor(private readonly db: IDBDatabase | null) {}

  /** With what the page before this one could not store any more. */
  static async open(): Promise<Store> {
    const store = await Store.connect();
    await store.resume().catch(() => undefined); // it waits for the next page
    return store;
  }

  private static connect(): Promise<Store> {
    return new Promise((resolve) => {
      try {
        const request = indexedDB.open("xiaohu", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("conversations", { keyPath: "id" });
        request.onsuccess = () => resolve(new Store(request.result));
        request.onerror = () => resolve(new Store(null));
      } catch {
        resolve(new Store(null));
      }
    });
  }

  get lasting(): boolean {
    return this.db !== null;
  }

  all(): Promise<Conversation[]> {
    return this.run<Conversation[]>("readonly", (store) => store.getAll()).then((list) => list ?? []);
  }

  get(id: string): Promise<Conversation | undefined> {
    return this.run<Conversation>("readonly", (store) => store.get(id));
  }

  put(conversation: Conversation): Promise<unknown> {
    return this.write(conversation.id, conversation);
  }

  remove(id: string): Promise<unknown> {
    return this.write(id, null);
  }

  /** The page goes away, perhaps for ever: what is being written is kept for the next one. */
  leave(): void {
    this.writing.forEach((change, id) => keepUnsaved(id, change.value));
  }

  private async write(id: string, value: Conversation | null): Promise<void> {
    const change = { value };
    this.writing.set(id, change);
    try {
      await this.run("readwrite", (store) => (value ? store.put(value) : store.delete(id)));
      dropUnsaved(id);
    } finally {
      if (this.writing.get(id) === change) this.writing.delete(id);
    }
  }

  /** Reads what was kept inside the transaction that stores it: another tab's later change then comes after it. */
  private async resume(): Promise<void> {
    let kept: { id: string; text: string }[] = [];
    await this.run("readwrite", (store) => {
      const turn = store.count();
      turn.onsuccess = () => {
        kept = allUnsaved();
        for (const { id, text } of kept) text === "null" ? store.delete(id) : store.put(JSON.parse(text));
      };
      return turn;
    });
    for (const { id, text } of kept) dropUnsaved(id, text);
  }

  private run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<T | undefined> {
    const db = this.db;
    if (!db) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      const transaction = db.transaction("conversations", mode);
      const request = work(transaction.objectStore("conversations"));
      transaction.oncomplete = () => resolve(request.result as T);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }
}
