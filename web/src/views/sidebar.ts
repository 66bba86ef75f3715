// The list of conversations: search, groups by age, a menu for each.
import { Chat } from "../chat";
import { download, h, icon, iconButton, mark, openMenu, toast } from "../dom";
import { Key, t } from "../i18n";
import { toFile, toMarkdown } from "../files";
import { Conversation } from "../store";

export interface SidebarActions {
  close(): void; // on a phone: the drawer
  settings(): void;
}

export function sidebar(chat: Chat, actions: SidebarActions): HTMLElement {
  const search = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), autocomplete: "off", oninput: () => draw() });
  const list = h("div", { class: "conversation-list" });
  const draw = () => list.replaceChildren(...rows(chat, search.value, actions));
  chat.on("list", draw);
  draw();
  return h("nav", { class: "sidebar", id: "sidebar", "aria-label": t("conversations") },
    h("div", { class: "brand" }, mark("small"), h("span", { class: "brand-name" }, "xiaohu"), h("span", { class: "brand-cn", lang: "zh" }, "小虎"),
      iconButton("close", t("closeSidebar"), actions.close, { class: "only-phone" })),
    h("button", { type: "button", class: "new-chat", onclick: () => (chat.startNew(), actions.close(), document.getElementById("message")?.focus()) }, icon("plus"), t("newChat")),
    h("label", { class: "search" }, icon("search"), search),
    list,
    h("button", { type: "button", class: "sidebar-foot", onclick: actions.settings }, icon("gear"), t("settings")));
}

function rows(chat: Chat, query: string, actions: SidebarActions): HTMLElement[] {
  const wanted = query.trim().toLowerCase();
  const found = chat.sorted().filter((conversation) => !wanted || matches(conversation, wanted));
  if (found.length === 0) return [h("p", { class: "empty-list" }, t(wanted ? "noMatch" : "noConversations"))];
  const result: HTMLElement[] = [];
  let group: Key | null = null;
  for (const conversation of found) {
    const age = ageGroup(conversation.updated);
    if (age !== group) result.push(h("h2", {}, t(age)));
    group = age;
    result.push(row(chat, conversation, actions));
  }
  return result;
}

function matches(conversation: Conversation, wanted: string): boolean {
  return conversation.title.toLowerCase().includes(wanted) || Object.values(conversation.messages).some((m) => m.text.toLowerCase().includes(wanted));
}

function ageGroup(time: number): Key {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const day = 86_400_000;
  if (time >= midnight) return "today";
  if (time >= midnight - day) return "yesterday";
  return time >= midnight - 7 * day ? "week" : "earlier";
}

function row(chat: Chat, conversation: Conversation, actions: SidebarActions): HTMLElement {
  const title = conversation.title || t("untitled");
  const open = h("button", {
    type: "button", class: "row-open", title, "aria-current": conversation === chat.current ? "page" : false,
    onclick: () => (chat.open(conversation), actions.close()),
    ondblclick: () => rename(),
  }, h("span", {}, title), chat.writing(conversation) && h("span", { class: "pulse", role: "img", "aria-label": t("writing") }));
  const rename = () => {
    const field = h("input", { class: "row-rename", value: conversation.title, "aria-label": t("rename"), maxlength: "200" });
    let ended = false;
    const end = (keep: boolean) => {
      if (ended) return;
      ended = true;
      if (keep) chat.rename(conversation, field.value);
      field.replaceWith(open);
    };
    field.addEventListener("blur", () => end(true));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    open.replaceWith(field);
    field.select();
    field.focus();
  };
  const more = iconButton("more", `${t("more")}: ${title}`, () =>
    openMenu(more, [
      { label: t("rename"), icon: "edit", run: rename },
      { label: t("exportMarkdown"), icon: "export", run: () => download(fileName(title, "md"), "text/markdown", toMarkdown(conversation)) },
      { label: t("exportJson"), icon: "export", run: () => download(fileName(title, "json"), "application/json", toFile([conversation])) },
      { label: t("remove"), icon: "trash", danger: true, run: () => removeWithUndo(chat, conversation) },
    ]), { class: "row-more", "aria-haspopup": "menu", "aria-expanded": "false" });
  return h("div", { class: conversation === chat.current ? "row current" : "row" }, open, more);
}

function removeWithUndo(chat: Chat, conversation: Conversation): void {
  chat.remove(conversation);
  toast(t("removed"), { label: t("undo"), run: () => chat.add(conversation) });
}

function fileName(title: string, extension: string): string {
  return (title.replace(/[\\/:*?"<>|\x00-\x1f]+/g, " ").trim().slice(0, 60) || "xiaohu") + "." + extension;
}
