"""Writes a tiny language model of random weights: `python tiny_model.py OUT.gguf` (needs numpy and
gguf).

It says nothing sensible, but a real server runs it: llama's architecture, 2 layers, a vocabulary of
printable characters.
"""

import sys

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 2048
UNKNOWN, CONTROL, BYTE, NORMAL = 2, 3, 6, 1  # kinds of tokens
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary() -> list[tuple[str, int]]:
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [(f"<0x{value:02X}>", BYTE) for value in range(256)]
    tokens += [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)]
    tokens += [("▁", NORMAL)]  # the space, as SentencePiece writes it
    return tokens + [(chr(code), NORMAL) for code in range(33, 127)]


def write(path: str) -> None:
    random = np.random.default_rng(7)
    tokens = vocabulary()
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_token_list([text for text, _ in tokens])
    out.add_token_scores([0.0] * len(tokens))
    out.add_token_types([kind for _, kind in tokens])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_chat_template(TEMPLATE)

    def normal(rows: int, columns: int, scale: float = 0.2) -> np.ndarray:
        return random.normal(0, scale, (rows, columns)).astype(np.float32)

    # Dimension 0 of the residual is 1 throughout: no block writes to it. Column 0 of the head is
    # thereby a bias, with which all that is not a printable character is ruled out: bytes would be
    # invalid UTF-8, and an end of text would come early.
    embedding = normal(len(tokens), WIDTH, 1.0)
    embedding[:, 0] = 1.0
    head = normal(len(tokens), WIDTH, 0.5)
    head[:, 0] = [0.0 if kind == NORMAL else -1000.0 for _, kind in tokens]
    out.add_tensor("token_embd.weight", embedding)
    out.add_tensor("output.weight", head)
    out.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            out.add_tensor(f"{block}{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights = normal(WIDTH, WIDTH)
            if name == "attn_output":
                weights[0, :] = 0.0
            out.add_tensor(f"{block}{name}.weight", weights)
        out.add_tensor(f"{block}ffn_gate.weight", normal(INNER, WIDTH))
        out.add_tensor(f"{block}ffn_up.weight", normal(INNER, WIDTH))
        down = normal(WIDTH, INNER)
        down[0, :] = 0.0
        out.add_tensor(f"{block}ffn_down.weight", down)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1])
