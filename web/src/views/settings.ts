// The settings drawer, and the dialog that asks for a key.
import { Chat } from "../chat";
import { download, h, iconButton, toast } from "../dom";
import { fromFile, toFile } from "../files";
import { currentLanguage, Key, languageNames, t } from "../i18n";
import { cleanSettings, Language, prefs, Theme } from "../prefs";

/** Opens a modal dialog; it is removed when it closes. */
function open(dialog: HTMLDialogElement): void {
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.appendChild(dialog);
  dialog.showModal();
}

function field(label: string, control: HTMLElement, hint = ""): HTMLElement {
  return h("label", { class: "field" }, h("span", { class: "field-name" }, label), control, hint && h("small", {}, hint));
}

function segmented<T extends string>(label: string, choices: [T, string][], chosen: T, choose: (value: T) => void): HTMLElement {
  const name = "choice-" + label;
  return h("fieldset", { class: "field segmented" }, h("legend", { class: "field-name" }, label),
    h("div", { class: "segments" }, ...choices.map(([value, words]) =>
      h("label", {}, h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }), h("span", { lang: name === "choice-lang" ? value : false }, words)))));
}

export function openSettings(chat: Chat, languageChanged: () => void): void {
  const dialog = h("dialog", { class: "drawer", "aria-label": t("settings") });
  dialog.append(
    h("header", {}, h("h2", {}, t("settings")), iconButton("close", t("close"), () => dialog.close())),
    conversationSection(chat),
    browserSection(chat, dialog, languageChanged),
    dataSection(chat, dialog));
  open(dialog);
}

function conversationSection(chat: Chat): HTMLElement {
  const conversation = chat.current;
  const settings = conversation.settings;
  const numeric = (key: "temperature" | "topP" | "maxTokens", low: number, high: number, step: number) =>
    h("input", { type: "number", min: low, max: high, step, inputmode: "decimal", placeholder: t("serverDefault"), value: settings[key] ?? "", name: key, onchange: save });
  function save(): void {
    conversation.settings = cleanSettings({ system: system.value, temperature: temperature.value, topP: topP.value, maxTokens: maxTokens.value });
    for (const [input, value] of [[temperature, conversation.settings.temperature], [topP, conversation.settings.topP], [maxTokens, conversation.settings.maxTokens]] as const)
      input.value = value === null ? "" : String(value);
    if (chat.conversations.has(conversation.id)) chat.changed(conversation);
  }
  const system = h("textarea", { rows: "5", placeholder: t("systemPlaceholder"), value: settings.system, name: "system", onchange: save });
  const temperature = numeric("temperature", 0, 2, 0.1);
  const topP = numeric("topP", 0.01, 1, 0.01);
  const maxTokens = numeric("maxTokens", 1, 1_000_000, 1);
  return h("section", {}, h("h3", {}, t("thisConversation")),
    field(t("system"), system),
    field(t("temperature"), temperature, t("temperatureHint")),
    h("div", { class: "pair" }, field(t("topP"), topP), field(t("maxTokens"), maxTokens)),
    h("button", {
      type: "button", class: "button", onclick: () => {
        save();
        prefs.setDefaults(conversation.settings);
        toast(t("useForNewDone"));
      },
    }, t("useForNew")));
}

function browserSection(chat: Chat, dialog: HTMLDialogElement, languageChanged: () => void): HTMLElement {
  const themes = (["system", "light", "dark"] as Theme[]).map((theme): [Theme, string] => [theme, t(("theme" + theme[0].toUpperCase() + theme.slice(1)) as Key)]);
  const key = h("input", { type: "password", autocomplete: "off", spellcheck: "false", value: prefs.key(), name: "key", onchange: () => (prefs.setKey(key.value.trim()), void chat.loadModels()) });
  return h("section", {}, h("h3", {}, t("general")),
    segmented(t("theme"), themes, prefs.theme(), (theme) => prefs.setTheme(theme)),
    segmented(t("language"), Object.entries(languageNames) as [Language, string][], currentLanguage(), (language) => {
      prefs.setLanguage(language);
      dialog.close();
      languageChanged();
    }),
    field(t("key"), key, t("keyHint")));
}

function dataSection(chat: Chat, dialog: HTMLDialogElement): HTMLElement {
  const file = h("input", {
    type: "file", accept: ".json,application/json", hidden: true, onchange: async () => {
      const found = fromFile((await file.files?.[0]?.text()) ?? "");
      found.forEach((conversation) => chat.add(conversation));
      toast(found.length ? t("imported", { count: found.length }) : t("importFailed"));
    },
  });
  const removeAll = () => {
    if (!confirm(t("removeAllAsk"))) return;
    chat.sorted().forEach((conversation) => chat.remove(conversation));
    dialog.close();
  };
  return h("section", {}, h("h3", {}, t("data")), h("p", { class: "quiet" }, t("dataHint")),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "button", onclick: () => download("xiaohu.json", "application/json", toFile(chat.sorted())) }, t("exportAll")),
      h("button", { type: "button", class: "button", onclick: () => file.click() }, t("import")), file,
      h("button", { type: "button", class: "button danger", onclick: removeAll }, t("removeAll"))));
}

/** Asks for a key once; `done` runs after one was given. */
export function askForKey(done: () => void): void {
  if (document.querySelector("dialog.key")) return;
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", name: "api-key", "aria-label": t("key"), value: prefs.key() });
  const dialog = h("dialog", { class: "key", "aria-label": t("key") });
  const form = h("form", {
    onsubmit: (event: Event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      prefs.setKey(input.value.trim());
      dialog.close();
      done();
    },
  }, h("h2", {}, t("key")), h("p", {}, t("keyWanted")), h("div", { class: "field" }, input, h("small", {}, t("keyHint"))),
    h("div", { class: "buttons" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("cancel")), h("button", { type: "submit", class: "button primary" }, t("keySave"))));
  dialog.append(form);
  open(dialog);
  input.focus();
}
