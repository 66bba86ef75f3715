// One message: a person's words with editing, or an answer with its reasoning, speed line and actions.
import { Chat } from "../chat";
import { copyText, h, icon, iconButton, mark, toast } from "../dom";
import { Key, number, t } from "../i18n";
import { MarkdownView } from "../markdown_view";
import { Conversation, Message, selectBranch, versionsOf } from "../store";
import { growWithText, isSendKey } from "./composer";

export interface MessageView {
  element: HTMLElement;
  /** Redraws what changed. `growing`: only the text did. */
  update(growing: boolean): void;
}

export function messageView(chat: Chat, conversation: Conversation, message: Message): MessageView {
  return message.role === "user" ? questionView(chat, conversation, message) : answerView(chat, conversation, message);
}

function versionSwitch(chat: Chat, conversation: Conversation, message: Message): HTMLElement | null {
  const versions = versionsOf(conversation, message);
  if (versions.length < 2) return null;
  const at = versions.indexOf(message);
  const go = (step: number) => () => {
    selectBranch(conversation, versions[at + step]);
    chat.changed(conversation, "thread");
  };
  return h("span", { class: "versions", role: "group", "aria-label": t("version", { at: at + 1, count: versions.length }) },
    iconButton("left", t("previous"), go(-1), { disabled: at === 0 }),
    h("span", {}, `${at + 1}/${versions.length}`),
    iconButton("right", t("next"), go(1), { disabled: at === versions.length - 1 }));
}

function copyButton(text: () => string): HTMLElement {
  return iconButton("copy", t("copy"), async () => toast(t((await copyText(text())) ? "copied" : "copyFailed")));
}

function questionView(chat: Chat, conversation: Conversation, message: Message): MessageView {
  const element = h("article", { class: "message user", "aria-label": t("you") });
  const show = () => {
    element.classList.remove("editing");
    element.replaceChildren(
      h("div", { class: "bubble" }, message.text),
      h("div", { class: "actions" }, versionSwitch(chat, conversation, message),
        copyButton(() => message.text), iconButton("edit", t("edit"), edit)));
  };
  const edit = () => {
    const area = h("textarea", { rows: "1", "aria-label": t("edit"), value: message.text });
    const send = () => {
      const text = area.value.trim();
      if (text) chat.edit(conversation, message, text);
    };
    area.addEventListener("input", () => growWithText(area));
    area.addEventListener("keydown", (event) => {
      if (isSendKey(event)) event.preventDefault(), send();
      else if (event.key === "Escape" && !event.isComposing) event.stopPropagation(), show();
    });
    element.classList.add("editing");
    element.replaceChildren(h("div", { class: "edit-box" }, area,
      h("div", { class: "edit-foot" }, h("span", {}, t("editHint")),
        h("button", { type: "button", class: "button", onclick: show }, t("cancel")),
        h("button", { type: "button", class: "button primary", onclick: send }, t("save")))));
    growWithText(area);
    area.focus();
  };
  show();
  return { element, update: () => element.classList.contains("editing") || show() };
}

const problemWords: Record<string, Key> = {
  network: "errorNetwork", interrupted: "errorInterrupted", auth: "errorAuth", forbidden: "errorForbidden", model: "errorModel", long: "errorLong",
  large: "errorLarge", rate: "errorRate", busy: "errorBusy", request: "errorRequest", server: "errorServer",
};

function answerView(chat: Chat, conversation: Conversation, message: Message): MessageView {
  const body = new MarkdownView();
  const thoughts = h("div", { class: "thoughts" });
  const summary = h("span", {});
  const reasoning = h("details", { class: "reasoning", ontoggle: () => drawReasoning() }, h("summary", {}, icon("bulb"), summary, icon("right")), thoughts);
  const waiting = h("div", { class: "waiting" }, h("span", { class: "stripes", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", {}, t("reading")));
  const problem = h("div", {});
  const foot = h("div", { class: "foot" });
  const element = h("article", { class: "message assistant", "aria-label": t("assistant") }, mark("avatar"),
    h("div", { class: "answer" }, reasoning, waiting, body.element, problem, foot));
  const writing = () => chat.writing(conversation) === message;
  const started = Date.now();

  const drawReasoning = () => {
    reasoning.hidden = !message.reasoning;
    const busy = writing() && !message.text;
    summary.textContent = busy || message.thinkSeconds === undefined ? t("thinking") : t("thought", { seconds: number(message.thinkSeconds, message.thinkSeconds < 10 ? 1 : 0) });
    reasoning.classList.toggle("busy", busy);
    if (reasoning.open) thoughts.textContent = message.reasoning ?? "";
  };
  const drawFoot = () => {
    const parts = statsParts(message);
    if (message.finish === "stopped") parts.unshift(t("stopped"));
    foot.replaceChildren(
      h("div", { class: "actions" }, versionSwitch(chat, conversation, message),
        message.text && copyButton(() => message.text),
        !message.problem && iconButton("again", t("regenerate"), () => chat.regenerate(conversation, message))),
      h("span", { class: "stats" }, ...parts.flatMap((part, i) => [i > 0 && " · ", h("span", {}, part)])));
  };
  const tick = () => {
    if (!element.isConnected || !writing() || message.text || message.reasoning) return;
    const seconds = Math.round((Date.now() - started) / 1000);
    if (seconds >= 3) waiting.lastChild!.textContent = t("readingFor", { seconds });
    setTimeout(tick, 1000);
  };

  const update = (growing: boolean) => {
    const busy = writing();
    drawReasoning();
    waiting.hidden = !busy || Boolean(message.text || message.reasoning);
    if (growing) return body.grow(message.text);
    element.classList.toggle("writing", busy);
    element.setAttribute("aria-busy", String(busy));
    if (busy) body.grow(message.text);
    else body.show(message.text);
    foot.hidden = busy;
    if (busy) setTimeout(tick, 1000);
    else drawFoot();
    problem.replaceChildren(...notices(chat, conversation, message));
  };
  update(false);
  return { element, update };
}

function statsParts(message: Message): string[] {
  const stats = message.stats;
  if (!stats) return [];
  const parts = [t("tokens", { count: number(stats.tokens) })];
  if (stats.tokens > 1 && stats.seconds > 0) parts.push(t("speed", { value: number((stats.tokens - 1) / stats.seconds, 1) }));
  parts.push(t("firstToken", { value: number(stats.firstToken, 2) }));
  if (message.model) parts.push(message.model);
  return parts;
}

function notices(chat: Chat, conversation: Conversation, message: Message): HTMLElement[] {
  if (message.finish === "length") return [h("p", { class: "notice" }, t("lengthReached"))];
  const problem = message.problem;
  if (!problem) return [];
  const words = t(problemWords[problem.kind] ?? "errorServer") + (problem.retryAfter ? " " + t("retryIn", { seconds: Math.ceil(problem.retryAfter) }) : "");
  return [h("div", { class: "problem", role: "alert" }, icon("warn"),
    h("div", {}, h("p", {}, words), h("details", {}, h("summary", {}, t("details")), h("code", {}, problem.message))),
    h("button", { type: "button", class: "button", onclick: () => chat.regenerate(conversation, message) }, t("retry")))];
}
