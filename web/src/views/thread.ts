// The conversation on display. Messages keep their elements from one drawing to the next, and the view follows
// a growing answer only while its reader is at the bottom.
import { Chat } from "../chat";
import { copyText, h, iconButton, mark } from "../dom";
import { t } from "../i18n";
import { Conversation, Message, pathOf, versionsOf } from "../store";
import { messageView, MessageView } from "./message";

const kNear = 60; // pixels from the bottom that still count as the bottom

export function thread(chat: Chat, useIdea: (text: string) => void): HTMLElement {
  const log = h("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": t("thread") });
  const welcome = greeting(useIdea);
  const toBottom = iconButton("down", t("toBottom"), () => follow(true), { class: "to-bottom", hidden: true });
  const scroller = h("div", { class: "scroller", tabindex: "-1" }, welcome, log);
  const element = h("div", { class: "thread" }, scroller, toBottom);
  let views = new Map<string, MessageView & { versions: number }>();
  let shown: Conversation | null = null;
  let following = true;
  let lastTop = 0;

  const gap = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const follow = (start: boolean) => {
    if (start) following = true;
    if (following) scroller.scrollTop = scroller.scrollHeight;
    lastTop = scroller.scrollTop;
    toBottom.hidden = following || gap() < kNear;
  };
  scroller.addEventListener("scroll", () => {
    if (scroller.scrollTop < lastTop - 2) following = false; // only a person scrolls up
    if (gap() < kNear) following = true;
    lastTop = scroller.scrollTop;
    toBottom.hidden = following;
  }, { passive: true });
  log.addEventListener("grown", () => follow(false));
  log.addEventListener("click", (event) => void copyCode(event.target as HTMLElement));

  const draw = () => {
    const conversation = chat.current;
    const path = pathOf(conversation);
    const writing = chat.writing(conversation);
    const asked = shown !== conversation || (writing !== null && !views.has(writing.id));
    if (shown !== conversation) views = new Map();
    shown = conversation;
    const next = new Map<string, MessageView & { versions: number }>();
    for (const message of path) next.set(message.id, viewOf(conversation, message));
    views = next;
    syncChildren(log, [...views.values()].map((view) => view.element));
    welcome.hidden = path.length > 0;
    element.classList.toggle("empty", path.length === 0);
    log.setAttribute("aria-busy", String(writing !== null));
    document.title = (conversation.title ? conversation.title + " · " : "") + "xiaohu";
    follow(asked);
  };
  const viewOf = (conversation: Conversation, message: Message) => {
    const versions = versionsOf(conversation, message).length;
    const known = views.get(message.id);
    if (!known) return { ...messageView(chat, conversation, message), versions };
    const live = known.element.classList.contains("writing");
    if (live || known.versions !== versions || chat.writing(conversation) === message) known.update(false);
    known.versions = versions;
    return known;
  };
  chat.on("thread", draw);
  chat.on("stream", () => {
    const message = chat.writing(chat.current);
    if (message) views.get(message.id)?.update(true);
  });
  draw();
  return element;
}

/** Makes `parent` hold exactly `wanted`, without touching what is already in place (focus and selection survive). */
function syncChildren(parent: Element, wanted: Element[]): void {
  wanted.forEach((element, i) => {
    if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastChild!.remove();
}

async function copyCode(target: HTMLElement): Promise<void> {
  const button = target.closest(".code-copy");
  const code = button?.closest(".code")?.querySelector("pre")?.textContent;
  if (!button || code === undefined || code === null) return;
  const label = button.querySelector("span")!;
  label.textContent = t((await copyText(code)) ? "copied" : "copyFailed");
  setTimeout(() => (label.textContent = t("copy")), 2000);
}

function greeting(useIdea: (text: string) => void): HTMLElement {
  const ideas = (["idea1", "idea2", "idea3", "idea4"] as const).map((key) => h("button", { type: "button", class: "idea", onclick: () => useIdea(t(key)) }, t(key)));
  return h("section", { class: "welcome" }, mark("large"), h("h1", {}, t("greeting")), h("p", {}, t("greetingSub")), h("div", { class: "ideas" }, ...ideas));
}
