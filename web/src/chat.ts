// The state behind the views: conversations, the one on display, the answers being written.
import { ApiError, listModels, streamChat, WireMessage } from "./api";
import { prefs } from "./prefs";
import { addMessage, Conversation, Message, newConversation, pathOf, Store, titleFrom } from "./store";

/** list: names or order changed · thread: another branch or conversation · stream: the answer grew · models, storage. */
export type Topic = "list" | "thread" | "stream" | "models" | "storage" | "auth";

interface Live {
  abort: AbortController;
  message: Message;
  saved: number;
}

const kSaveEvery = 2000; // ms between saves of an answer that is being written

export class Chat {
  conversations = new Map<string, Conversation>();
  current: Conversation;
  models: string[] | null = null; // null: not known yet
  modelsProblem: ApiError | null = null;
  private modelsAgain = 0; // timer: the next try
  private live = new Map<string, Live>(); // by conversation
  private listeners = new Map<Topic, Set<() => void>>();
  private readonly tabs = typeof BroadcastChannel === "function" ? new BroadcastChannel("xiaohu") : null;

  constructor(private readonly store: Store) {
    this.current = newConversation(prefs.defaults());
    this.tabs?.addEventListener("message", (event) => void this.otherTab(String(event.data)));
    addEventListener("pagehide", () => {
      this.live.forEach((_, id) => this.saveNow(this.conversations.get(id)));
      this.store.leave();
    });
  }

  get lasting(): boolean {
    return this.store.lasting;
  }

  on(topic: Topic, run: () => void): void {
    if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
    this.listeners.get(topic)!.add(run);
  }

  /** Forgets all listeners: the views are about to be built anew (another language). */
  detach(): void {
    this.listeners.clear();
  }

  private tell(...topics: Topic[]): void {
    for (const topic of topics) this.listeners.get(topic)?.forEach((run) => run());
  }

  async load(): Promise<void> {
    for (const conversation of await this.store.all().catch(() => [])) {
      for (const message of Object.values(conversation.messages))
        if (message.role === "assistant" && !message.finish && !message.problem) message.finish = "stopped"; // the page was closed meanwhile
      this.conversations.set(conversation.id, conversation);
    }
    const wanted = this.conversations.get(location.hash.slice(1));
    if (wanted) this.current = wanted;
    addEventListener("hashchange", () => {
      const target = this.conversations.get(location.hash.slice(1));
      if (target && target !== this.current) this.open(target);
    });
  }

  sorted(): Conversation[] {
    return [...this.conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  async loadModels(): Promise<void> {
    clearTimeout(this.modelsAgain);
    try {
      this.models = await listModels();
      this.modelsProblem = null;
    } catch (error) {
      this.modelsProblem = error instanceof ApiError ? error : new ApiError("server", String(error));
      if (this.modelsProblem.kind === "auth") this.tell("auth");
      else this.modelsAgain = window.setTimeout(() => void this.loadModels(), 3000); // it may still be starting
    }
    this.tell("models");
  }

  get model(): string {
    const wanted = prefs.model();
    return this.models?.includes(wanted) ? wanted : this.models?.[0] ?? wanted;
  }

  setModel(id: string): void {
    prefs.setModel(id);
    this.tell("models");
  }

  open(conversation: Conversation): void {
    this.current = conversation;
    history.replaceState(null, "", this.conversations.has(conversation.id) ? "#" + conversation.id : location.pathname);
    this.tell("list", "thread");
  }

  startNew(): void {
    this.open(newConversation(prefs.defaults()));
  }

  changed(conversation: Conversation, ...topics: Topic[]): void {
    this.saveNow(conversation);
    this.tell(...topics);
  }

  add(conversation: Conversation): void {
    this.conversations.set(conversation.id, conversation);
    this.changed(conversation, "list");
  }

  rename(conversation: Conversation, title: string): void {
    conversation.title = titleFrom(title) || conversation.title;
    this.changed(conversation, "list", "thread");
  }

  remove(conversation: Conversation): void {
    this.stop(conversation);
    this.conversations.delete(conversation.id);
    void this.store.remove(conversation.id).then(() => this.tabs?.postMessage(conversation.id));
    if (this.current === conversation) this.startNew();
    else this.tell("list");
  }

  /** The answer being written in a conversation, if any. */
  writing(conversation: Conversation): Message | null {
    return this.live.get(conversation.id)?.message ?? null;
  }

  send(text: string): void {
    this.ask(this.current, this.current.head, text);
  }

  /** Another version of a user's message, with an answer of its own. */
  edit(conversation: Conversation, message: Message, text: string): void {
    this.stop(conversation);
    this.ask(conversation, message.parent, text);
  }

  private ask(conversation: Conversation, parent: string | null, text: string): void {
    const question = addMessage(conversation, parent, "user", text);
    if (!conversation.title) conversation.title = titleFrom(text);
    if (!this.conversations.has(conversation.id)) {
      this.conversations.set(conversation.id, conversation);
      history.replaceState(null, "", "#" + conversation.id);
    }
    void this.answer(conversation, question);
  }

  /** Another answer to the same question; one that failed before it said anything is replaced. */
  regenerate(conversation: Conversation, message: Message): void {
    this.stop(conversation);
    const question = message.parent === null ? undefined : conversation.messages[message.parent];
    if (!question) return;
    if (message.problem && !message.text) delete conversation.messages[message.id];
    void this.answer(conversation, question);
  }

  stop(conversation: Conversation): void {
    const live = this.live.get(conversation.id);
    if (!live) return;
    live.message.finish = "stopped";
    live.abort.abort();
    this.end(conversation, live);
  }

  private async answer(conversation: Conversation, question: Message): Promise<void> {
    const messages: WireMessage[] = [];
    if (conversation.settings.system.trim()) messages.push({ role: "system", content: conversation.settings.system });
    for (const { role, text } of pathOf(conversation, question.id)) {
      const last = messages[messages.length - 1];
      if (!text) continue; // an answer that failed or was stopped at once …
      if (last?.role === role) last.content += "\n\n" + text; // … leaves two questions: many templates want turns
      else messages.push({ role, content: text });
    }

    const message = addMessage(conversation, question.id, "assistant", "");
    const live: Live = { abort: new AbortController(), message, saved: Date.now() };
    this.live.set(conversation.id, live);
    this.changed(conversation, "list", "thread");

    const started = performance.now();
    let first = 0, last = 0, pieces = 0;
    const grow = () => {
      last = performance.now();
      first ||= last;
      ++pieces;
      const seconds = (last - first) / 1000;
      message.stats = { tokens: pieces, promptTokens: 0, seconds, firstToken: (first - started) / 1000 };
      if (Date.now() - live.saved > kSaveEvery) {
        live.saved = Date.now();
        this.saveNow(conversation);
      }
      this.tell("stream");
    };
    const events = {
      text(piece: string) {
        if (message.reasoning && message.thinkSeconds === undefined) message.thinkSeconds = (performance.now() - started) / 1000;
        message.text += piece;
        grow();
      },
      reasoning(piece: string) {
        message.reasoning = (message.reasoning ?? "") + piece;
        grow();
      },
      usage(usage: { prompt: number; completion: number }) {
        if (message.stats) message.stats = { ...message.stats, tokens: usage.completion, promptTokens: usage.prompt };
      },
      finish(reason: string) {
        message.finish = reason;
      },
    };
    try {
      if (!this.models) await this.loadModels(); // sent before they were known
      if (live.abort.signal.aborted) return;
      message.model = this.model;
      await streamChat(message.model, messages, conversation.settings, events, live.abort.signal);
      message.finish ??= "stop";
    } catch (error) {
      if (live.abort.signal.aborted) return; // stop() has ended it
      const problem = error instanceof ApiError ? error : new ApiError("server", String(error));
      message.problem = { kind: problem.kind, message: problem.message, retryAfter: problem.retryAfter };
      if (problem.kind === "auth") this.tell("auth");
    }
    this.end(conversation, live);
  }

  private end(conversation: Conversation, live: Live): void {
    if (this.live.get(conversation.id) !== live) return;
    this.live.delete(conversation.id);
    conversation.updated = Date.now();
    this.changed(conversation, "list", "thread");
  }

  private saveNow(conversation: Conversation | undefined): void {
    if (!conversation || !this.conversations.has(conversation.id)) return;
    this.store.put(conversation).then(
      () => this.tabs?.postMessage(conversation.id),
      () => this.tell("storage"),
    );
  }

  /** Another tab changed a conversation: take its state, unless an answer is being written here. */
  private async otherTab(id: string): Promise<void> {
    if (this.live.has(id)) return;
    const fresh = await this.store.get(id).catch(() => undefined);
    if (fresh) this.conversations.set(id, fresh);
    else this.conversations.delete(id);
    if (this.current.id === id && fresh) {
      this.current = fresh;
      this.tell("thread");
    }
    this.tell("list");
  }
}
