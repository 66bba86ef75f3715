#!/usr/bin/env python3
"""Greedy texts and logits of SmolLM2-135M-Instruct from an independent float computation:
the GGUF's weights dequantised by the `gguf` package, run by transformers in float32.

usage: make_smollm2_reference.py MODEL.gguf OUT_DIR     needs torch, transformers, gguf, numpy

Writes prompts.json (token ids, greedy continuation, the margin between the best and the second
logit at every step) and logits.bin (float32, the last ROWS rows for the ids in logits_prompt.json).
Of the questions, the KEEP with the widest least margin stay: where the float model itself tosses a
coin, an 8-bit computation may toss it the other way.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROWS, NEW, KEEP = 4, 24, 20
QUESTIONS = [
    "What is the capital of France?", "What is the capital of Italy?", "What is the capital of Japan?",
    "What is the capital of Spain?", "What is the capital of Egypt?", "What is 2 plus 2?",
    "Who wrote Romeo and Juliet?", "What is the largest planet?", "Name a mammal that can fly.",
    "What colour is the sky?", "How many days are in a week?", "What is the opposite of hot?",
    "Translate 'good morning' into Spanish.", "Why is the sky blue?", "What is a contract?",
    "Explain photosynthesis simply.", "How do vaccines work?", "What does a lawyer do?",
    "Summarise the water cycle.", "List three colours of the rainbow.", "What is gravity?",
    "Write a Python function that adds two numbers.", "What is the boiling point of water?",
    "Who painted the Mona Lisa?", "What is the chemical symbol for gold?", "What is the speed of light?",
    "Who was the first president of the United States?", "What language is spoken in Brazil?",
    "How many continents are there?", "What is the smallest prime number?", "What do bees make?",
    "What is the currency of Japan?", "Which ocean is the largest?", "Say hello.", "What is an atom?",
    "What is the capital of Germany?", "Count from one to five.", "What is the sun?",
    "Give two tips for better sleep.", "中国的首都是哪里？",
]


def main(path, out):
    path, out = pathlib.Path(path), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    load = dict(gguf_file=path.name)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **load)
    model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **load).eval()
    cases = []
    for i, prompt in enumerate(QUESTIONS):
        text = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n")
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        margins, tokens, now = [], [], ids
        with torch.no_grad():
            past = None
            for step in range(NEW):
                result = model(now, past_key_values=past, use_cache=True)
                past, logits = result.past_key_values, result.logits[0]
                if i == 0 and step == 0:
                    logits[-ROWS:].numpy().astype("<f4").tofile(out / "logits.bin")
                    (out / "logits_prompt.json").write_text(json.dumps(ids[0].tolist()) + "\n")
                best = torch.topk(logits[-1], 2)
                margins.append(float(best.values[0] - best.values[1]))
                tokens.append(int(best.indices[0]))
                if tokens[-1] == 2:  # <|im_end|>
                    break
                now = best.indices[:1][None]
        cases.append(dict(prompt=prompt, ids=ids[0].tolist(), greedy=tokens,
                          text=tokenizer.decode(tokens, skip_special_tokens=True),
                          margins=[round(m, 4) for m in margins]))
        print(i, repr(cases[-1]["text"])[:80], min(margins))
    cases = sorted(cases, key=lambda c: -min(c["margins"]))[:KEEP]
    (out / "prompts.json").write_text(json.dumps(cases, ensure_ascii=False, separators=(',', ':')).replace('},{', '},\n{') + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
