"""Writes a tiny model for vLLM: `python tiny_model.py FOLDER` (needs numpy and safetensors).

Llama's architecture, 2 layers, width 64, one token per byte. Two things are built in by hand, the
rest is random weights:

- A code word in the prompt (`CODE_WORDS`) decides what the answer begins with: a label, or a call
  of a tool. Two code words share the probability. Without one the answer is random letters to the
  limit of tokens, and each letter depends on all that stands before it: a continuation that missed
  or doubled anything would go on differently.
- A short thought comes first, as with Qwen3, unless the template's arguments say
  `enable_thinking: false`.
"""

import json
import sys
from pathlib import Path

import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 2, 2, 128, 8192
HEAD = WIDTH // HEADS

CODE_WORDS = {  # code word → the token with which the answer begins
    "apricot": "SIM",
    "blueberry": "MODER",
    "cloudberry": "COMP",
    "elderberry": "ENR",
    "persimmon": "<tool_call>",
}
TOOL_CALL = '{"name": "get_time", "arguments": {"zone": "UTC"}}'
THOUGHT = "Let me see."
FOLLOWS = {  # token → the one that always comes next
    "SIM": "PLE", "MODER": "ATE", "COMP": "LEX", "ENR": "ICH",
    "PLE": "\n", "ATE": "\n", "LEX": "\n", "ICH": "\n",
    "<tool_call>": TOOL_CALL, TOOL_CALL: "</tool_call>", "</tool_call>": "<|im_end|>",
    "<think>": THOUGHT, THOUGHT: "</think>",
}  # fmt: skip
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GATE = "</think>"  # behind it the answer begins
TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if loop.last and message['role'] == 'assistant' %}<think></think>{% endif %}"
    "{{ message['content'] or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>"
    "{% if enable_thinking is defined and not enable_thinking %}</think>{% endif %}{% endif %}"
)


def byte_names() -> list[str]:
    """The character by which a byte-level tokenizer writes each byte: GPT-2's table."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(value) if value in kept else chr(next(others)) for value in range(256)]


def added_tokens() -> list[str]:
    words = [*CONTROL, *CODE_WORDS, *CODE_WORDS.values(), *FOLLOWS, *FOLLOWS.values()]
    return [word for word in dict.fromkeys(words) if len(word) > 1]


def write_tokenizer(folder: Path) -> dict[str, int]:
    """Token → id; what the answer may hold of single bytes is under their characters."""
    names = byte_names()
    added = {word: 256 + at for at, word in enumerate(added_tokens())}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    entries = [
        {"id": number, "content": word, "special": word in CONTROL, "single_word": False,
         "lstrip": False, "rstrip": False, "normalized": False}
        for word, number in added.items()
    ]  # fmt: skip
    model = {
        "type": "BPE", "vocab": {name: value for value, name in enumerate(names)}, "merges": [],
        "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
    }  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": entries,
        "normalizer": None, "pre_tokenizer": {**level, "use_regex": True},
        "post_processor": None, "decoder": {**level, "use_regex": True}, "model": model,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT,
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return {chr(value): value for value in range(128)} | added


def write_config(folder: Path, ids: dict[str, int]) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS, "head_dim": HEAD, "vocab_size": size_of(ids),
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "rope_theta": 1e6, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "eos_token_id": ids["<|im_end|>"], "bos_token_id": None,
        "pad_token_id": ids["<|endoftext|>"], "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def size_of(ids: dict[str, int]) -> int:
    return -(-(max(ids.values()) + 1) // 64) * 64


def weights(ids: dict[str, int]) -> dict[str, np.ndarray]:
    """Residual dimensions: 0 is 1 throughout (a bias), then those built by hand, then random ones.

    Only the first attention head, which looks for code words at the gate, writes to a dimension
    made by hand.
    """
    random = np.random.default_rng(7)
    answers = list(CODE_WORDS.values())
    targets = list(dict.fromkeys(FOLLOWS.values()))
    is_code, is_gate = 1, 2
    code = 3  # which code word a token is, one dimension each
    found = code + len(answers)  # which code word the head has found
    follow = found + len(answers)  # which token has to come next
    free = follow + len(targets)
    size = size_of(ids)

    def normal(rows: int, columns: int, scale: float) -> np.ndarray:
        return random.normal(0, scale, (rows, columns)).astype(np.float32)

    embedding = normal(size, WIDTH, 1.0)
    embedding[:, :free] = 0.0
    embedding[:, 0] = 1.0
    embedding[ids[GATE], is_gate] = 4.0
    head = normal(size, WIDTH, 2.0)
    head[:, :free] = 0.0
    head[:, 0] = -1000.0  # ruled out, but for printable characters and what follows from below
    head[32:127, 0] = 0.0
    alike = embedding[ids[next(iter(CODE_WORDS))]].copy()  # two code words weigh the same
    for at, (word, answer) in enumerate(CODE_WORDS.items()):
        embedding[ids[word]] = alike
        embedding[ids[word], [is_code, code + at]] = 4.0
        head[ids[answer]] = 0.0
        head[ids[answer], 0], head[ids[answer], found + at] = -1000.0, 250.0
    for token, target in FOLLOWS.items():
        embedding[ids[token], follow + targets.index(target)] = 8.0
    for at, target in enumerate(targets):
        head[ids[target], follow + at] = 400.0

    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    tensors["model.norm.weight"] = np.ones(WIDTH, np.float32)
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}{name}.weight"] = np.ones(WIDTH, np.float32)
        query, key, value, out = (normal(WIDTH, WIDTH, 0.35) for _ in range(4))
        down = normal(WIDTH, INNER, 0.3)
        out[:free], down[:free] = 0.0, 0.0
        if layer == 0:  # the first head; the pair of dimensions that positions turn least
            query[:HEAD], key[:HEAD], value[:HEAD], out[:, :HEAD] = 0.0, 0.0, 0.0, 0.0
            query[HEAD // 2 - 1, is_gate], key[HEAD // 2 - 1, is_code] = 30.0, 30.0
            for at in range(len(answers)):
                value[at, code + at], out[found + at, at] = 1.0, 4.0
        for name, matrix in (("q", query), ("k", key), ("v", value), ("o", out)):
            tensors[f"{block}self_attn.{name}_proj.weight"] = matrix
        for name in ("gate", "up"):
            tensors[f"{block}mlp.{name}_proj.weight"] = normal(INNER, WIDTH, 0.3)
        tensors[f"{block}mlp.down_proj.weight"] = down
    return tensors


def write(folder: Path) -> None:
    from safetensors.numpy import save_file  # only where vLLM is: the tests read the names above

    folder.mkdir(parents=True, exist_ok=True)
    ids = write_tokenizer(folder)
    write_config(folder, ids)
    save_file(weights(ids), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
