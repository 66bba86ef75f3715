// The frame: the list at the left (a drawer on a phone), the bar, the thread, the composer.
import { Chat } from "../chat";
import { h, icon, iconButton, toast } from "../dom";
import { refreshLanguage, t } from "../i18n";
import { prefs } from "../prefs";
import { composer } from "./composer";
import { askForKey, openSettings } from "./settings";
import { sidebar } from "./sidebar";
import { thread } from "./thread";

const phone = matchMedia("(max-width: 760px)");

export function showApp(root: HTMLElement, chat: Chat): void {
  chat.detach();
  const frame = h("div", { class: "app" });
  const show = (visible: boolean) => {
    frame.classList.toggle("sidebar-open", visible);
    list.inert = !visible;
    toggle.setAttribute("aria-expanded", String(visible));
    toggle.title = toggle.ariaLabel = t(visible ? "closeSidebar" : "openSidebar");
    if (!phone.matches) prefs.setSidebarHidden(!visible);
  };
  const settings = () => openSettings(chat, () => {
    refreshLanguage();
    showApp(root, chat);
  });
  const list = sidebar(chat, { close: () => phone.matches && show(false), settings });
  const toggle = iconButton("menu", t("openSidebar"), () => show(!frame.classList.contains("sidebar-open")), { "aria-controls": "sidebar" });
  const input = composer(chat);
  frame.append(
    list,
    h("div", { class: "backdrop", onclick: () => show(false) }),
    h("main", {},
      h("header", { class: "bar" }, toggle, modelPicker(chat), h("span", { class: "spacer" }),
        iconButton("plus", t("newChat"), () => (chat.startNew(), document.getElementById("message")?.focus()), { class: "new-small" }),
        themeButton(), iconButton("gear", t("settings"), settings)),
      thread(chat, (text) => input.fill(text)),
      input.element));
  root.replaceChildren(frame);
  show(!phone.matches && !prefs.sidebarHidden());

  chat.on("auth", () => askForKey(() => void chat.loadModels()));
  chat.on("storage", () => toast(t("storageFailed")));
  if (!chat.lasting) toast(t("storageNone"));
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) phone.matches && frame.classList.contains("sidebar-open") ? show(false) : chat.stop(chat.current);
  });
  if (!phone.matches) document.getElementById("message")?.focus();
}

function modelPicker(chat: Chat): HTMLElement {
  const select = h("select", { "aria-label": t("model"), onchange: () => chat.setModel(select.value) });
  const holder = h("label", { class: "model" }, h("span", { class: "dot", "aria-hidden": "true" }), select, icon("right"));
  const draw = () => {
    const models = chat.models ?? [];
    const words = chat.modelsProblem ? t(chat.modelsProblem.kind === "auth" ? "key" : "modelsFailed") : chat.models ? t("modelsNone") : t("modelsLoading");
    select.replaceChildren(...(models.length ? models : [""]).map((id) => h("option", { value: id }, id || words)));
    select.value = chat.model;
    select.disabled = models.length < 2;
    holder.classList.toggle("ready", models.length > 0 && !chat.modelsProblem);
    holder.classList.toggle("single", models.length < 2);
    holder.title = chat.modelsProblem?.message ?? select.value;
  };
  chat.on("models", draw);
  draw();
  return holder;
}

function themeButton(): HTMLElement {
  const dark = () => document.documentElement.dataset.theme === "dark";
  const button = iconButton("moon", t("theme"), () => {
    prefs.setTheme(dark() ? "light" : "dark");
    draw();
  });
  const draw = () => {
    button.replaceChildren(icon(dark() ? "sun" : "moon"));
    button.title = button.ariaLabel = `${t("theme")}: ${t(dark() ? "themeDark" : "themeLight")}`;
  };
  draw();
  return button;
}
