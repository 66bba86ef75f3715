// The page's words in three languages.
import { detectLanguage } from "./language";
import { Language } from "./prefs";
import { en } from "./words/en";
import { hans } from "./words/zh_hans";
import { hant } from "./words/zh_hant";

export type Words = Record<keyof typeof en, string>;
export type Key = keyof typeof en;

const all: Record<Language, Words> = { en, "zh-Hans": hans, "zh-Hant": hant };

/** Each language by its own name. */
export const languageNames: Record<Language, string> = { en: "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文" };

let language: Language = detectLanguage();

export function currentLanguage(): Language {
  return language;
}

export function refreshLanguage(): void {
  language = detectLanguage();
  document.documentElement.lang = language;
}

/** The words for `key` with {name} filled from `values`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return all[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export function number(value: number, digits = 0): string {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
