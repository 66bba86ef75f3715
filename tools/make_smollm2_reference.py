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
COUNTRIES = ("Japan Germany Egypt France Canada China Russia Greece Turkey India Mexico Cuba Kenya Poland Norway "
             "Sweden Finland Denmark Austria Hungary Portugal Ireland Scotland Thailand Vietnam Indonesia Peru Chile "
             "Argentina Colombia Iran Iraq Morocco Nigeria Ukraine Belgium Romania Bulgaria").split()
QUESTIONS = [f"What is the capital of {country}?" for country in COUNTRIES] + [
    "How many days are in a week?", "Who was the first president of the United States?",
    "Which ocean is the largest?", "What is 2 plus 2?", "What is the sun?", "Summarise the water cycle.",
    "Count from one to five.", "What is an atom?", "What is the currency of Japan?", "What is gravity?",
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
