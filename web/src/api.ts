// The server's OpenAI-compatible API, as far as the page needs it. Addresses are relative, so that the page
// also works below a path of a reverse proxy.
import { ChatSettings, prefs } from "./prefs";
import { SseParser } from "./sse";

export type ProblemKind = "network" | "interrupted" | "auth" | "forbidden" | "model" | "long" | "large" | "rate" | "busy" | "request" | "server";

/** What went wrong, sorted by what a person can do about it. `message` is the server's own words. */
export class ApiError extends Error {
  constructor(readonly kind: ProblemKind, message: string, readonly retryAfter: number | null = null) {
    super(message);
  }
}

export interface WireMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Usage {
  prompt: number;
  completion: number;
}

export interface StreamEvents {
  text(piece: string): void;
  reasoning(piece: string): void;
  usage(usage: Usage): void;
  finish(reason: string): void;
}

type Json = Record<string, any>;

function headers(): Record<string, string> {
  const key = prefs.key();
  return { "Content-Type": "application/json", ...(key ? { Authorization: "Bearer " + key } : {}) };
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: headers(), cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("network", String(error));
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  let error: Json = {};
  try {
    const parsed = JSON.parse(text);
    error = typeof parsed?.error === "object" && parsed.error ? parsed.error : { message: parsed?.error ?? parsed?.message };
  } catch {
    /* not JSON: a proxy's page perhaps; its status says enough */
  }
  const message = typeof error.message === "string" ? error.message : `${response.status} ${response.statusText}`;
  const seconds = Number(response.headers.get("Retry-After"));
  return new ApiError(kindOf(response.status, error), message, Number.isFinite(seconds) && seconds > 0 ? seconds : null);
}

function kindOf(status: number, error: Json): ProblemKind {
  if (error.code === "context_length_exceeded") return "long";
  if (status === 401) return "auth";
  if (status === 403) return "forbidden";
  if (status === 404) return "model";
  if (status === 413) return "large";
  if (status === 429) return "rate";
  if (status === 503) return "busy";
  return status >= 500 ? "server" : "request";
}

/** The ids of the models on offer. */
export async function listModels(): Promise<string[]> {
  const body: Json = await (await request("v1/models", {})).json().catch(() => ({}));
  return Array.isArray(body.data) ? body.data.map((model: Json) => String(model?.id ?? "")).filter(Boolean) : [];
}

/** Asks for an answer and reports it piece by piece. Rejects with ApiError, or with AbortError after `signal`. */
export async function streamChat(model: string, messages: WireMessage[], settings: ChatSettings, events: StreamEvents, signal: AbortSignal): Promise<void> {
  const body: Json = { model, messages, stream: true, stream_options: { include_usage: true } };
  if (settings.temperature !== null) body.temperature = settings.temperature;
  if (settings.topP !== null) body.top_p = settings.topP;
  if (settings.maxTokens !== null) body.max_tokens = settings.maxTokens;
  const response = await request("v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
  if (!response.body) throw new ApiError("server", "The answer has no body.");

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  let complete = false;
  const take = (event: string) => {
    if (event === "[DONE]") complete = true;
    else if (takeChunk(event, events)) complete = true;
  };
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (signal.aborted) throw error;
        throw new ApiError("interrupted", String(error));
      });
      if (done) break;
      parser.push(decoder.decode(value, { stream: true })).forEach(take);
    }
    parser.push(decoder.decode()).forEach(take);
    parser.finish().forEach(take);
  } finally {
    reader.cancel().catch(() => undefined);
  }
  if (!complete) throw new ApiError("interrupted", "The connection ended before the answer did.");
}

/** One chunk of the stream; true when it carries the answer's end. */
function takeChunk(event: string, events: StreamEvents): boolean {
  let chunk: Json;
  try {
    chunk = JSON.parse(event);
  } catch {
    throw new ApiError("server", "The stream holds something that is not JSON: " + event.slice(0, 80));
  }
  if (chunk.error) throw new ApiError(kindOf(Number(chunk.error.code) || 500, chunk.error), String(chunk.error.message ?? "error"));
  if (chunk.usage) events.usage({ prompt: Number(chunk.usage.prompt_tokens) || 0, completion: Number(chunk.usage.completion_tokens) || 0 });
  const choice: Json | undefined = chunk.choices?.[0];
  const delta: Json = choice?.delta ?? {};
  const reasoning = delta.reasoning_content ?? delta.reasoning;
  if (typeof reasoning === "string" && reasoning) events.reasoning(reasoning);
  if (typeof delta.content === "string" && delta.content) events.text(delta.content);
  if (typeof choice?.finish_reason === "string") {
    events.finish(choice.finish_reason);
    return true;
  }
  return false;
}
