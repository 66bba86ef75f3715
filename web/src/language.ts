import { Language, prefs } from "./prefs";

/** The chosen language, else the first of the browser's that we speak, else English. */
export function detectLanguage(): Language {
  const chosen = prefs.language();
  if (chosen) return chosen;
  for (const tag of navigator.languages ?? [navigator.language]) {
    if (/^zh\b/i.test(tag)) return /hant|tw|hk|mo/i.test(tag) ? "zh-Hant" : "zh-Hans";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}
