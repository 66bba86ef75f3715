#!/usr/bin/env python3
"""Makes tests/fixtures/tokenizers/*.json: small vocabularies trained with the judges (Hugging Face
`tokenizers`, `sentencepiece`) and what they answer for a list of awkward texts.

    pip install tokenizers sentencepiece gguf
    tools/make_tokenizer_fixtures.py [--smollm2 SmolLM2-135M-Instruct.Q4_1.gguf] [--out DIR]

One file per rule: {"spec": …, "ids": [[…] per text], "words": [[bytes per word] per text]}; the
texts are shared, in texts.json. With --check N nothing is written: N random texts per rule are
printed as {"rule", "spec", "texts", "ids"} lines, for a comparison by hand.
"""
import argparse
import io
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
AFTER = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def words(digits, letters=r"\p{L}", not_symbol=r"\s\p{L}\p{N}", after=r"[\r\n]*"):
    return (rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[{letters}]+|{digits}"
            rf"| ?[^{not_symbol}]+{after}|{AFTER}")


def cased_words(digits, minus="", first="", suffix=CONTRACTIONS + "?", after=r"[\r\n/]*"):
    upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}" + minus + "]"
    lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}" + minus + "]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return (rf"{first}{before}{upper}*{lower}+{suffix}|{before}{upper}+{lower}*{suffix}"
            rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+{after}|{AFTER}")


ASCII_SIGNS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943")
EASTERN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"

# name → (expressions applied one after another, NFC first, a word that is a token stays whole)
RULES = {
    "gpt-2": ([GPT2], False, False),
    "smollm": ([r"\p{N}", GPT2], False, False),
    "llama-bpe": ([words(r"\p{N}{1,3}")], False, True),
    "qwen2": ([words(r"\p{N}")], True, False),
    "qwen35": ([words(r"\p{N}", r"\p{L}\p{M}", r"\s\p{L}\p{M}\p{N}")], True, False),
    "seed-coder": ([words(r"\p{N}{1}", not_symbol=r"\s\p{L}\p{N}\r\n", after="")], False, False),
    "gpt-4o": ([cased_words(r"\p{N}{1,3}")], False, False),
    "tekken": ([cased_words(r"\p{N}", suffix="")], False, True),
    "kimi-k2": ([cased_words(r"\p{N}{1,3}", r"&&[^\p{Han}]", r"[\p{Han}]+|", after=r"[\r\n]*")],
                False, False),
    "deepseek-v3": ([r"\p{N}{1,3}", HAN_KANA,
                     ASCII_SIGNS + r"[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                     r"| ?[\p{P}\p{S}]+[\r\n]*|" + AFTER], False, False),
    "deepseek-coder": (["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EASTERN, r"\p{N}"], False, False),
    "deepseek-llm": (["[\r\n]", r"\s?[" + CASED + "]+",
                      "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$",
                      EASTERN, r"\p{N}+"], False, False),
    "default": ([r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"], False, False),
}

CONTROL = ["<|im_start|>", "<|im_end|>", "<|im_start|>x"]
USER_DEFINED = ["<think>", "</think>", "  \n"]

TEXTS = [
    "", " ", "  ", "\n", "\t", "a", " a", "a ", "  a  b   c    ", "\n\n\n a\n \n b \r\n\r\n c\r\r",
    "Hello, world! It's a test; they'll say I'd've known we're I'm. O'Neil's don't",
    "IT'S THEY'LL I'D WE'RE I'M YOU'VE CAN'T 'Tis 'twas 's 'S 'll 'LL ''s '",
    "caf\u00e9 na\u00efve cafe\u0301 nai\u0308ve \u00c5ngstr\u00f6m A\u030angstro\u0308m \u212b \u1e9b\u0323 q\u0323\u0307 q\u0307\u0323",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u662f2024\u5e743\u670814\u65e5\u3002\u5c0f\u864e\u662f\u4e00\u4e2a\u672c\u5730\u8fd0\u884c\u7684\u5927\u6a21\u578b\u7cfb\u7edf\u3002",
    "\u6f22\u5b57\u3068\u3072\u3089\u304c\u306a\u3068\u30ab\u30bf\u30ab\u30ca\u30fb\u30c6\u30b9\u30c8\u3005\u3006\u3007 \u30fc \uff76\uff80\uff76\uff85 \u3000\u5168\u89d2\u3000\u7a7a\u767d\u3000",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4. \u1112\u1161\u11ab\u1100\u116e\u11a8",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0660\u0661\u0662\u0663\u0664",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0b95\u0bcd\u0bb7 \u0967\u0968\u0969\u096a",
    "emoji \U0001f600\U0001f603 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd\U0001f1e8\U0001f1f3 \u2764\ufe0f 1\ufe0f\u20e3 x\U0001f600y",
    "1 12 123 1234 12345 123456789 3.14159 1,000,000 0x1F 1e-9 \u00bd\u00b2\u2074\u2167 \u4e00\u4e8c\u4e09 \U0001d7d8\U0001d7d9",
    "def f(x: int) -> str:\n    if x > 0:\n        return f\"{x!r}\"  # comment\n\treturn ''\n\n\nclass Foo(Bar):\n    pass\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * c->d; }  // \u6ce8\u91ca\r\n#include <stdio.h>\r\n\r\n\r\n",
    "{\"key\": [1, 2.5, null, true], \"k2\": {\"\u4e2d\u6587\": \"\u503c\"}}", "SELECT * FROM t WHERE a='b' AND c<>'d''e';",
    "https://example.org/a/b?c=d&e=f#g user@example.org /usr/local/bin/../x C:\\dir\\file.txt",
    "camelCase PascalCase HTTPServer XMLHttpRequest snake_case SCREAMING_CASE iPhone McDonald \u01c5\u01c6 \u02b0\u02b2 \u00aa\u00ba",
    "!!!??? ... --- *** ### $$$ %%% ^^^ ~~~ ``` |||  +++ === <<< >>> \u2014\u2013\u2026\u201c\u201d\u2018\u2019\u00ab\u00bb \u20ac\u00a3\u00a5 \u2211\u222b\u221a\u2260",
    "a\u00a0b\u2003c\u2009d\u202fe\u205ff\u1680g\u2028h\u2029i\u0085j\u200bk\ufeffl\u180em\u000bn\u000co\u001cp\u001fq\u0000r\u0007s\u007ft\u00adu",
    "\u00a0 \u00a0\u2003\u2003x \u3000\u3000y\u2028\u2028z \u0085\u0085 w", "   \n   \n\t\t\n  x\n\n  y  \n", "a\n\n\n", "\n\n\na", " \r\n \r\n",
    "x!\n\n?\r\n/ //\n/\n a/b/ /c \n/", " !\n", "!a .b $c _d -e @f #g (h [i {j \"k 'l `m ~n", " !a  .b   $c",
    "it'\u017f IT'\u017f '\u017ft \u017f '\u212a", "\u0301\u0301a \u0301b\u0301 !\u0301c 1\u0301 \u0301\u0301\u0301", "A\u0301B\u0301c\u0301D\u0301 \u02b0A\u02b0b \u30a2A\u30a2a\u30a2 \u4e2dA\u4e2da\u4e2d",
    "Ab\u4e2d\u6587Cd \u4e2d\u6587a 1\u4e2d2 \u3400\u3401\U00020000 \u2e80\u2f00 \u3021\u3022 \uf900 a\u2e80b \u2e80\u2e81a",
    "\ud7b0\ud7cb \u0800\u0e01\u2019\u3042\u4dff\u9fa6\ua000\ufa0e", "\uff01\uff0f\uff1a\uff5e\uff21\uff22\uff41\uff42\uff11\uff12 \u3001\u3002\u300c\u300d \uff08\uff09",
    "\u2160\u2170\u24b6\u24d0 \U0001d400\U0001d41a \U00010400\U00010428 \U000118a0 \U0001e900\U0001e922 \u13a0\uab70 \u1c90\u10d0 \u2c2f\u2c5f",
    "\ue000\uf8ff \U000f0000 \u0378 \uffff \U0010ffff \ufffd \ufffe", "\u200d\u200c\u200e\u200f \u202a\u202c a\u200db \u2066x\u2069",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\nhm  \n</think>ok<|im_start|>xy<|im_star", "<think><think></think", "a<|im_end|>b <|im_end|> c", "<<|im_end|>>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the the the thethethe theTheTHE The  the   The", "9999999999999999999999999", "                                        x",
    "\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8\u54c8", "\u2581 \u2581\u2581a \u2581", "<0x41><s></s><unk>",
]

ALPHABET = (list("aAbBsStTlLdDmMrReEvV'''   \n\n\r\t019.,!/-_$+<|~") +
            list("\u00e9\u0301\u017f\u00df\u01c5\u02b0\u4e2d\u6587\u3042\u30a2\u30fb\u3005\u3007\u3000\u00a0\u2028\u0085\u200b\u200d\ufeff\u0660\u00bd\u2160\uff01\uff21\u2019\u20ac\u2211") +
            list("\u0000\u001c\ue000\u0378\ud55c\u0e01\u0e31\u0915\u094d\U0001f600\U0001f3fd\ufe0f\U00020000\u2e80\u212a\u00c5") +
            ["'s", "'LL", " the", "ing", "\u4f60\u597d", "  ", "\r\n", "<|im_end|>", "<think>", "123"])


def random_texts(count, seed):
    rng = random.Random(seed)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(2, 24))) for _ in range(count)]


def training_texts():
    """Enough of each script that merges reach over every kind of boundary."""
    return [t for t in TEXTS if "<|" not in t] * 3 + random_texts(1500, 7) + [
        "the quick brown fox jumps over the lazy dog and they're there, it's that.\n",
        "return self.value if value is None else other.value\n    ",
        "\u4e2d\u6587\u5206\u8bcd\u548c\u5927\u6a21\u578b\u7684\u8bad\u7ec3\u6570\u636e\u3002\u6211\u4eec\u5728\u672c\u5730\u8fd0\u884c\u3002",
    ] * 6


def bpe_tokenizer(name):
    expressions, nfc, ignore_merges = RULES[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Split(Regex(e), "isolated") for e in expressions] +
        [pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=560, show_progress=False,
                                  initial_alphabet=pre.ByteLevel.alphabet())
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in USER_DEFINED])
    return tokenizer


def bpe_spec(tokenizer, name):
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [None] * tokenizer.get_vocab_size()
    for token, i in tokenizer.get_vocab().items():
        tokens[i] = token
    kinds = [3 if t in CONTROL else 4 if t in USER_DEFINED else 1 for t in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return {"model": "gpt2", "pre": name, "tokens": tokens, "kinds": kinds, "merges": merges,
            "eos": tokens.index("<|im_end|>")}


def bpe_words(tokenizer, text):
    """Bytes of each word, of the text as it is without special tokens."""
    if tokenizer.normalizer:
        text = tokenizer.normalizer.normalize_str(text)
    return [len(word) for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


SENTENCEPIECE = {
    "sentencepiece": dict(byte_fallback=True, split_digits=True, vocab_size=700,
                          user_defined_symbols=["<think>", "<|im_end|>"]),
    "sentencepiece-phrases": dict(byte_fallback=False, vocab_size=500, split_by_whitespace=False,
                                  allow_whitespace_only_pieces=True, add_dummy_prefix=False,
                                  character_coverage=0.99),
}


def sentencepiece_fixture(name, texts):
    import sentencepiece
    options = dict(model_type="bpe", normalization_rule_name="identity",
                   remove_extra_whitespaces=False, minloglevel=2, hard_vocab_limit=False,
                   num_threads=1, **SENTENCEPIECE[name])
    if "character_coverage" not in options:
        options["character_coverage"] = 0.9995
    model = io.BytesIO()
    sentences = [s for t in training_texts() for s in t.split("\n") if s and "\0" not in s]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences),
                                             model_writer=model, **options)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    user_defined = options.get("user_defined_symbols", [])
    tokens, scores, kinds = [], [], []
    for i in range(sp.get_piece_size()):
        piece = sp.id_to_piece(i)
        tokens.append(piece)
        scores.append(round(sp.get_score(i), 4))
        kinds.append(2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i)
                     else 5 if sp.is_unused(i) else 4 if piece in user_defined else 1)
    spec = {"model": "llama", "tokens": tokens, "scores": scores, "kinds": kinds,
            "bos": sp.bos_id(), "eos": sp.eos_id(), "unknown": sp.unk_id(),
            "add_space_prefix": options.get("add_dummy_prefix", True)}
    # The judge ends a text at U+0000.
    ids = [None if "\0" in t else sp.encode(t) for t in texts]
    decoded = [None if i is None else sp.decode(i) for i in ids]
    return {"spec": spec, "ids": ids, "decoded": decoded}


def smollm2_fixture(path, texts):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens, kinds = get("tokens"), get("token_type")
    merges = [tuple(m.split(" ")) for m in get("merges")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.add_special_tokens([t for t, k in zip(tokens, kinds) if k == 3])
    return {"ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]}


def write(directory, name, value):
    path = os.path.join(directory, name + ".json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")
    print(f"{path}: {os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=os.path.join(ROOT, "tests", "fixtures", "tokenizers"))
    parser.add_argument("--smollm2", help="the GGUF of SmolLM2-135M-Instruct")
    parser.add_argument("--check", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.check:
        texts = random_texts(args.check, args.seed)
        for name in RULES:
            tokenizer = bpe_tokenizer(name)
            ids = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
            json.dump({"rule": name, "spec": bpe_spec(tokenizer, name), "texts": texts, "ids": ids},
                      sys.stdout)
            print()
        for name in SENTENCEPIECE:
            print(json.dumps({"rule": name, "texts": texts, **sentencepiece_fixture(name, texts)}))
        return
    os.makedirs(args.out, exist_ok=True)
    texts = TEXTS + random_texts(160, 11)
    write(args.out, "texts", texts)
    for name in RULES:
        tokenizer = bpe_tokenizer(name)
        write(args.out, name, {
            "spec": bpe_spec(tokenizer, name),
            "ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts],
            "words": [bpe_words(tokenizer, t) for t in texts]})
    for name in SENTENCEPIECE:
        write(args.out, name, sentencepiece_fixture(name, texts))
    if args.smollm2:
        write(args.out, "smollm2", smollm2_fixture(args.smollm2, texts))


if __name__ == "__main__":
    main()
