#!/usr/bin/env python3
"""Make the tiny golden models under tests/fixtures/models: random decoders of each family, run by
transformers in float32, saved as GGUF beside their token ids and logits.

usage: make_model_fixtures.py OUT_DIR [NAME …]     needs torch, transformers, gguf, numpy

Norms, biases and everything else that is initialised to 0 or 1 is randomised, or a missing term
would go unnoticed. The vocabulary is the 256 bytes plus four control tokens.
"""
import pathlib
import sys

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

VOCAB = 260
LENGTH = 80  # more than two KV pages
SIZES = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=160, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
             rms_norm_eps=1e-5, attn_implementation="eager")
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)
# 80 tokens are the longest context, where transformers' moving base is ours.
DYNAMIC = dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
MODELS = {
    "llama": ("llama", lambda: LlamaConfig(**SIZES, tie_word_embeddings=False)),
    "llama_bias_llama3": ("llama", lambda: LlamaConfig(**SIZES, tie_word_embeddings=True,
                                                       attention_bias=True, rope_parameters=LLAMA3)),
    "llama_linear": ("llama", lambda: LlamaConfig(**SIZES, tie_word_embeddings=True,
                                                  rope_parameters=LINEAR)),
    "llama_dynamic": ("llama", lambda: LlamaConfig(**{**SIZES, "max_position_embeddings": LENGTH // 4},
                                                   tie_word_embeddings=True, rope_parameters=DYNAMIC)),
    "qwen2": ("qwen2", lambda: Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "qwen2_yarn": ("qwen2", lambda: Qwen2Config(**SIZES, tie_word_embeddings=True,
                                                rope_parameters=YARN)),
    "qwen3": ("qwen3", lambda: Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=False)),
}
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}


def randomise(model):
    generator = torch.Generator().manual_seed(7)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        with torch.no_grad():
            if "norm" in name:
                p.copy_(1 + 0.3 * noise)
            elif name.endswith("bias"):
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise * (1.5 / p.shape[-1] ** 0.5))


def gguf_name(name):
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}
    if name in top:
        return top[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def pair_neighbours(x, heads):
    """HF keeps rotation pairs half a head apart; GGUF's llama keeps them side by side."""
    rest = x.shape[1:]
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *rest).swapaxes(1, 2).reshape(x.shape)


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(spare)) for b in range(256)]


def write(path, arch, config, model):
    w = gguf.GGUFWriter(path, arch)
    w.add_name(f"tiny {path.stem}")
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    rope = config.rope_parameters
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    if rope["rope_type"] in ("yarn", "linear", "dynamic"):
        w.add_string(f"{arch}.rope.scaling.type", rope["rope_type"])
        w.add_float32(f"{arch}.rope.scaling.factor", rope["factor"])
    if rope["rope_type"] == "yarn":
        w.add_uint32(f"{arch}.rope.scaling.original_context_length",
                     rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":
        plain = rope["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
        scaled = model.model.rotary_emb.inv_freq.numpy()
        w.add_tensor("rope_freqs.weight", (plain / scaled).astype(np.float32))
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(byte_alphabet() + specials)
    w.add_token_types([1] * 256 + [3] * 4)
    w.add_token_merges([])
    w.add_eos_token_id(258)
    for name, p in model.named_parameters():
        x = p.detach().numpy().astype(np.float32)
        if arch == "llama" and ".q_proj" in name:
            x = pair_neighbours(x, config.num_attention_heads)
        if arch == "llama" and ".k_proj" in name:
            x = pair_neighbours(x, config.num_key_value_heads)
        w.add_tensor(gguf_name(name), np.ascontiguousarray(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main(out, names):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        arch, make = MODELS[name]
        config = make()
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        randomise(model)
        ids = torch.randint(0, VOCAB, (1, LENGTH), generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            logits = model(ids).logits[0].numpy()
        write(out / f"{name}.gguf", arch, config, model)
        ids[0].numpy().astype("<i4").tofile(out / f"{name}.ids")
        logits.astype("<f4").tofile(out / f"{name}.logits")
        print(name, logits.shape, float(np.abs(logits).mean()))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
