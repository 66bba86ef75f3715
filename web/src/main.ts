import { Chat } from "./chat";
import { Store } from "./store";
import { showApp } from "./views/app";

async function start(): Promise<void> {
  const chat = new Chat(await Store.open());
  await chat.load();
  showApp(document.getElementById("app")!, chat);
  await chat.loadModels();
}

void start();
