// Where messages are written. Enter sends, Shift+Enter breaks the line, and nothing is ever sent while an
// input method is composing.
import { Chat } from "../chat";
import { h, icon } from "../dom";
import { t } from "../i18n";

/** True for the Enter that sends: not the one that picks a candidate of an input method (Safari reports it late, as 229). */
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** Lets a text area be as high as its text; CSS sets the limit. */
export function growWithText(area: HTMLTextAreaElement): void {
  area.style.height = "auto";
  area.style.height = area.scrollHeight + "px";
}

export interface Composer {
  element: HTMLElement;
  fill(text: string): void;
}

export function composer(chat: Chat): Composer {
  const area = h("textarea", {
    id: "message", rows: "1", placeholder: t("placeholder"), "aria-label": t("messageLabel"), enterkeyhint: "send",
    oninput: () => refresh(),
    onkeydown: (event: KeyboardEvent) => {
      if (!isSendKey(event)) return;
      event.preventDefault();
      send();
    },
  });
  const button = h("button", { type: "button", class: "send", onclick: () => (chat.writing(chat.current) ? chat.stop(chat.current) : send()) });

  const send = () => {
    const text = area.value.trim();
    if (!text || chat.writing(chat.current)) return;
    area.value = "";
    chat.send(text);
    refresh();
  };
  const refresh = () => {
    growWithText(area);
    const writing = chat.writing(chat.current) !== null;
    const label = t(writing ? "stop" : "send");
    if (button.title !== label) {
      button.title = label;
      button.setAttribute("aria-label", label);
      button.classList.toggle("stop", writing);
      button.replaceChildren(icon(writing ? "stop" : "send"));
    }
    button.disabled = !writing && !area.value.trim();
  };
  chat.on("thread", refresh);
  const element = h("div", { class: "composer" },
    h("div", { class: "composer-box", onclick: (event: Event) => event.target === event.currentTarget && area.focus() }, area, button),
    h("p", { class: "hint" }, t("hint")));
  requestAnimationFrame(refresh);
  return {
    element,
    fill(text: string) {
      area.value = text;
      refresh();
      area.focus();
    },
  };
}
