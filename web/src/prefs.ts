// What the browser remembers besides conversations: small values in localStorage.

export interface ChatSettings {
  system: string;
  temperature: number | null; // null: the server's default
  topP: number | null;
  maxTokens: number | null;
}

export type Theme = "system" | "light" | "dark";
export type Language = "en" | "zh-Hans" | "zh-Hant";

const kPrefix = "xiaohu.";
const memory = new Map<string, string>(); // when storage is forbidden, the visit still works

function read(key: string): string | null {
  try {
    return localStorage.getItem(kPrefix + key);
  } catch {
    return memory.get(key) ?? null;
  }
}

function write(key: string, value: string): void {
  memory.set(key, value);
  try {
    if (value) localStorage.setItem(kPrefix + key, value);
    else localStorage.removeItem(kPrefix + key);
  } catch {
    /* kept in memory */
  }
}

const oneOf = <T extends string>(value: string | null, allowed: readonly T[], otherwise: T): T =>
  allowed.includes(value as T) ? (value as T) : otherwise;

/** A number inside [low, high], or null for an empty or foolish text. */
export function bounded(value: unknown, low: number, high: number): number | null {
  if (value === "" || value === null || value === undefined) return null;
  const number = Number(value);
  return Number.isFinite(number) ? Math.min(high, Math.max(low, number)) : null;
}

export function cleanSettings(raw: unknown): ChatSettings {
  const from = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
  const maxTokens = bounded(from.maxTokens, 1, 1_000_000);
  return {
    system: typeof from.system === "string" ? from.system : "",
    temperature: bounded(from.temperature, 0, 2),
    topP: bounded(from.topP, 0.01, 1),
    maxTokens: maxTokens === null ? null : Math.round(maxTokens),
  };
}

export const prefs = {
  theme: (): Theme => oneOf(read("theme"), ["system", "light", "dark"], "system"),
  setTheme(theme: Theme): void {
    write("theme", theme);
    applyTheme();
  },
  language: (): Language | null => {
    const value = read("language");
    return value === null ? null : oneOf<Language>(value, ["en", "zh-Hans", "zh-Hant"], "en");
  },
  setLanguage: (language: Language): void => write("language", language),
  model: (): string => read("model") ?? "",
  setModel: (id: string): void => write("model", id),
  key: (): string => read("key") ?? "",
  setKey: (key: string): void => write("key", key),
  sidebarHidden: (): boolean => read("sidebar") === "hidden",
  setSidebarHidden: (hidden: boolean): void => write("sidebar", hidden ? "hidden" : ""),
  defaults(): ChatSettings {
    try {
      return cleanSettings(JSON.parse(read("defaults") ?? "{}"));
    } catch {
      return cleanSettings({});
    }
  },
  setDefaults: (settings: ChatSettings): void => write("defaults", JSON.stringify(settings)),
};

export function applyTheme(): void {
  const theme = prefs.theme();
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
