#!/usr/bin/env python3
"""Makes the fixtures that an independent implementation (PyPI's `gguf` and `safetensors`, numpy) vouches for.

  tests/fixtures/formats/NAME.bin   random blocks of one tensor type, then their values as float32
  tests/fixtures/formats/to_f16.bin float32 values, then the same as numpy rounds them to fp16
  tests/fixtures/gguf/tiny.gguf     a small model file with every kind of metadata value
  tests/fixtures/safetensors/       a small Hugging Face folder, written by PyPI's `safetensors`

Deterministic: the same package version writes the same bytes. Run from anywhere:
  python3 tools/make_format_fixtures.py
"""
import json
import pathlib

import gguf
import numpy as np
import safetensors.numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"

# type -> (blocks, byte offsets of fp16 fields in a block)
TYPES = {
    "BF16": (64, []),
    "Q4_0": (16, [0]), "Q4_1": (16, [0, 2]), "Q5_0": (16, [0]), "Q5_1": (16, [0, 2]),
    "Q8_0": (16, [0]), "Q2_K": (6, [80, 82]), "Q3_K": (6, [108]), "Q4_K": (6, [0, 2]),
    "Q5_K": (6, [0, 2]), "Q6_K": (6, [208]), "IQ4_NL": (16, [0]), "IQ4_XS": (6, [0]),
    "MXFP4": (16, []),
}


def finite_fp16(rng, index):
    """Scales: the extremes first, then random bits that are neither infinite nor NaN."""
    special = [0x0000, 0x8000, 0x0001, 0x83FF, 0x3C00, 0x7BFF]
    if index < len(special) // 2:
        return special[2 * index + int(rng.integers(2))]
    bits = int(rng.integers(0x10000))
    return bits if (bits >> 10) & 31 != 31 else bits & 0x83FF | 0x3000


def make_blocks(name, rng):
    qtype = gguf.GGMLQuantizationType[name]
    n_blocks, halves = TYPES[name]
    size = gguf.GGML_QUANT_SIZES[qtype][1]
    blocks = rng.integers(0, 256, (n_blocks, size), dtype=np.uint8)
    for i in range(n_blocks):
        for at in halves:
            blocks[i, at:at + 2] = np.array([finite_fp16(rng, i)], "<u2").view(np.uint8)
    if name == "BF16":  # no NaN: they do not compare
        bits = blocks.view("<u2")
        bits[(bits & 0x7F80) == 0x7F80] &= 0x3FFF
    if name == "MXFP4":
        blocks[0, 0], blocks[1, 0], blocks[2, 0] = 0, 1, 254
    return blocks, gguf.dequantize(blocks, qtype)


def write_formats():
    folder = ROOT / "formats"
    folder.mkdir(parents=True, exist_ok=True)
    for name in TYPES:
        rng = np.random.default_rng(sum(name.encode()))
        with np.errstate(over="ignore"):
            blocks, values = make_blocks(name, rng)
        assert values.dtype == np.float32 and not np.isnan(values).any(), name
        (folder / f"{name.lower()}.bin").write_bytes(blocks.tobytes() + values.tobytes())
    # Every seventh finite half, and random floats rounded to halves, as numpy converts them.
    bits = np.arange(0x10000, dtype="<u2")
    bits = bits[(bits & 0x7C00) != 0x7C00][::7].copy()
    (folder / "f16.bin").write_bytes(bits.tobytes() + bits.view("<f2").astype("<f4").tobytes())
    rng = np.random.default_rng(16)
    singles = (rng.standard_normal(2000) * 2.0 ** rng.integers(-30, 20, 2000)).astype("<f4")
    with np.errstate(over="ignore"):
        halves = singles.astype("<f2")
    (folder / "to_f16.bin").write_bytes(singles.tobytes() + halves.tobytes())


def write_tiny():
    folder = ROOT / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000)
    w.add_int32("t.i32", -2000000000)
    w.add_uint64("t.u64", 2**64 - 1)
    w.add_int64("t.i64", -2**63)
    w.add_float32("t.f32", 0.5)
    w.add_float64("t.f64", 0.1)
    w.add_bool("t.yes", True)
    w.add_bool("t.no", False)
    w.add_string("t.text", "小虎 is a small tiger")
    w.add_array("tokenizer.ggml.tokens", ["<s>", "a", "小", "a token longer than fifteen bytes"])
    w.add_array("t.ints", [-1, 0, 1])
    w.add_array("t.floats", [0.25, -2.0])
    w.add_array("t.bools", [True, False, True])
    rng = np.random.default_rng(1)
    w.add_tensor("vector", np.arange(8, dtype=np.float32))
    w.add_tensor("matrix", np.arange(15, dtype=np.float32).reshape(3, 5))
    w.add_tensor("half", np.array([[1.5, -2.0], [0.0, 65504.0]], dtype=np.float16))
    for name in ("Q4_0", "Q8_0", "Q5_1"):
        qtype = gguf.GGMLQuantizationType[name]
        data = gguf.quantize(rng.standard_normal((2, 64)).astype(np.float32), qtype)
        w.add_tensor(f"blk.0.{name.lower()}", data, raw_dtype=qtype)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_folder():
    folder = ROOT / "safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "llama", "hidden_size": 5, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
              "rope_scaling": {"type": "linear", "factor": 2.0}, "eos_token_id": [1, 2],
              "architectures": ["LlamaForCausalLM"], "nothing": None, "mixed": [1, "a"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    matrix = np.arange(15, dtype=np.float32).reshape(3, 5)
    parts = {
        "model-00001-of-00002.safetensors": {"model.embed_tokens.weight": matrix,
                                             "model.norm.weight": np.array([1.5, -2.0], np.float16)},
        "model-00002-of-00002.safetensors": {"lm_head.weight": matrix * 2,
                                             "scale": np.array(7, np.int64)},
    }
    for name, tensors in parts.items():
        safetensors.numpy.save_file(tensors, folder / name, metadata={"format": "pt"})
    weight_map = {tensor: name for name, tensors in parts.items() for tensor in tensors}
    index = {"metadata": {"total_size": 132}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    write_formats()
    write_tiny()
    write_folder()
