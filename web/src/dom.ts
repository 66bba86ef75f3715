// Building elements. Text always enters as text nodes: nothing here parses HTML.

export type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

/** h("button", {class: "send", onclick: f, disabled: true}, icon("send")). */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "value") (element as HTMLInputElement).value = String(value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: Child[]): void {
  for (const child of children) if (child) parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
}

const kIcons: Record<string, string> = {
  plus: "M10 4v12M4 10h12",
  menu: "M3 5.5h14M3 10h14M3 14.5h9",
  send: "M10 16.500V4M4.5 9.3 10 3.800l5.5 5.5",
  stop: "M6 6h8v8H6z",
  copy: "M7.5 7.500h8v9h-8zM12.5 4.500v-1h-8v9h1",
  check: "M4 10.500l4 4 8-9",
  edit: "M4 16l.8-3.500L13 4.300l2.7 2.7-8.2 8.200zM11.3 6l2.7 2.7",
  again: "M15.8 8.500A6.2 6.2 0 1 0 16 12M16 4.200v4.300h-4.3",
  gear: "M3 6h7.500M14.5 6H17M3 14h2.500M9.5 14H17M14.5 6a2 2 0 1 1-4 0 2 2 0 0 1 4 0zM9.5 14a2 2 0 1 1-4 0 2 2 0 0 1 4 0z",
  search: "M13.2 13.2 17 17M14.5 8.800a5.7 5.7 0 1 1-11.4 0 5.7 5.7 0 0 1 11.4 0z",
  trash: "M4 5.500h12M8 5.500v-2h4v2M5.5 5.500l.7 11h7.600l.7-11M8.5 8.500v5M11.5 8.500v5",
  export: "M10 3v9.500M6 9l4 4 4-4M3.5 16.500h13",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  close: "M5 5l10 10M15 5 5 15",
  down: "M10 4v12M4.5 10.5 10 16l5.5-5.5",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  sun: "M10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M15.7 4.300l-1.1 1.100M5.4 14.600l-1.1 1.100M13.5 10a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0z",
  moon: "M16.5 11.800A7 7 0 0 1 8.2 3.500a7 7 0 1 0 8.3 8.300z",
  screen: "M3 4h14v9.500H3zM7.5 17h5M10 13.500V17",
  bulb: "M7.5 14.500c0-2-2.5-3-2.5-6.200a5 5 0 0 1 10 0c0 3.2-2.5 4.2-2.5 6.200zM8 17.500h4",
  warn: "M10 3 18 16.500H2zM10 8v4M10 14.200v.1",
};

/** A line icon in the text's colour, hidden from assistive technology: its button carries the label. */
export function icon(name: string): SVGSVGElement {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", kIcons[name] ?? "");
  svg.appendChild(path);
  return svg;
}

/** The tiger. */
export function mark(size: string): HTMLImageElement {
  return h("img", { src: "icon.svg", alt: "", class: "mark " + size, draggable: "false" });
}

export function iconButton(name: string, label: string, onclick: (event: Event) => void, extra: Props = {}): HTMLButtonElement {
  return h("button", { type: "button", "aria-label": label, title: label, onclick, ...extra, class: "icon-button " + (extra.class ?? "") }, icon(name));
}

/** Copies text; also where the clipboard interface is missing (plain HTTP on a company network). */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "off-screen", value: text, "aria-hidden": "true" });
    document.body.appendChild(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Offers text as a file to save. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

let toastTimer = 0;
/** A short notice at the bottom, with at most one action. */
export function toast(text: string, action?: { label: string; run: () => void }): void {
  document.querySelector(".toast")?.remove();
  clearTimeout(toastTimer);
  const box = h("div", { class: "toast", role: "status" }, h("span", {}, text));
  if (action) box.appendChild(h("button", { type: "button", onclick: () => (action.run(), box.remove()) }, action.label));
  document.body.appendChild(box);
  toastTimer = window.setTimeout(() => box.remove(), action ? 8000 : 3500);
}

/** A menu under a button; Escape, a click elsewhere or a choice closes it. */
export function openMenu(anchor: HTMLElement, entries: { label: string; icon: string; run: () => void; danger?: boolean }[]): void {
  document.querySelector<HTMLElement>(".menu")?.remove();
  const close = (refocus: boolean) => {
    menu.remove();
    anchor.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (refocus) anchor.focus();
  };
  const outside = (event: Event) => menu.contains(event.target as Node) || close(false);
  const step = (event: KeyboardEvent) => {
    const items = [...menu.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    if (event.key === "Escape" || event.key === "Tab") close(true);
    else if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items[(at + items.length - 1) % items.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const menu = h("div", { class: "menu", role: "menu", onkeydown: step },
    ...entries.map((entry) =>
      h("button", { type: "button", role: "menuitem", class: entry.danger ? "danger" : "", onclick: () => (close(true), entry.run()) }, icon(entry.icon), entry.label)));
  document.body.appendChild(menu);
  anchor.setAttribute("aria-expanded", "true");
  const box = anchor.getBoundingClientRect();
  const fits = box.bottom + 6 + menu.offsetHeight < window.innerHeight;
  menu.style.top = (fits ? box.bottom + 4 : box.top - menu.offsetHeight - 4) + "px";
  menu.style.left = Math.max(8, Math.min(box.left, window.innerWidth - menu.offsetWidth - 8)) + "px";
  menu.querySelector("button")?.focus();
  document.addEventListener("pointerdown", outside, true);
}
