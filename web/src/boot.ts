// Runs before the first paint, so that a dark page never flashes white.
import { detectLanguage } from "./language";
import { applyTheme } from "./prefs";

applyTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
document.documentElement.lang = detectLanguage();
