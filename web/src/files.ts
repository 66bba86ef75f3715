// Conversations as files: Markdown to read, JSON to keep and to import again.
import { t } from "./i18n";
import { cleanConversation, Conversation, pathOf } from "./store";

const kFormat = "xiaohu-conversations";

export function toMarkdown(conversation: Conversation): string {
  const parts = [`# ${conversation.title}`];
  if (conversation.settings.system.trim()) parts.push(`> ${conversation.settings.system.trim().replace(/\n/g, "\n> ")}`);
  for (const message of pathOf(conversation))
    parts.push(`## ${message.role === "user" ? t("you") : message.model || t("assistant")}`, message.text.trim());
  return parts.join("\n\n") + "\n";
}

export function toFile(conversations: Conversation[]): string {
  return JSON.stringify({ format: kFormat, version: 1, conversations }, null, 1);
}

/** The conversations in a file, or none if it is not one of ours. */
export function fromFile(text: string): Conversation[] {
  try {
    const file = JSON.parse(text);
    if (file?.format !== kFormat || !Array.isArray(file.conversations)) return [];
    return file.conversations.map(cleanConversation).filter((c: Conversation | null): c is Conversation => c !== null);
  } catch {
    return [];
  }
}
