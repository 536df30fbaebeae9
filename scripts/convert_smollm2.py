"""Writes SmolLM2-135M-Instruct, which a package carries as a GGUF file, as a Hugging Face directory.

    python scripts/convert_smollm2.py FILE.gguf DIRECTORY

The weights are dequantised and kept as f16. Tensors get the names of transformers' Llama; the rows of the query and key
projections go back from GGUF's order of rotated pairs to that of transformers, where a pair is half a head apart.
"""

import json
import pathlib
import sys

import gguf
import numpy
from gguf.quants import dequantize
from safetensors.numpy import save_file

TENSORS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SPECIAL = 3  # GGUF's type of control tokens


def halves(weight, heads):
    """Returns the rows of a projection in the order of transformers."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensors(reader, heads, key_heads):
    """Returns all weights under their names in transformers, as f16."""
    weights = {}
    for tensor in reader.tensors:
        shape = [int(length) for length in tensor.shape][::-1]
        weight = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        parts = tensor.name.split(".")
        if parts[0] == "token_embd":
            name = "model.embed_tokens.weight"
        elif parts[0] == "output_norm":
            name = "model.norm.weight"
        else:
            name = f"model.layers.{parts[1]}.{TENSORS[parts[2]]}.weight"
            if parts[2] == "attn_q":
                weight = halves(weight, heads)
            elif parts[2] == "attn_k":
                weight = halves(weight, key_heads)
        weights[name] = numpy.ascontiguousarray(weight.astype(numpy.float16))
    return weights


def config(fields):
    """Returns config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "vocab_size": fields["llama.vocab_size"],
        "max_position_embeddings": fields["llama.context_length"],
        "rope_theta": fields["llama.rope.freq_base"],
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
        "dtype": "float16",
    }


def tokenizer(fields):
    """Returns tokenizer.json: byte-level BPE, every digit a token of its own."""
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for id, (token, type) in enumerate(zip(tokens, types))
            if type == SPECIAL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def tokenizer_config(fields):
    """Returns tokenizer_config.json, with the chat template."""
    tokens = fields["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "chat_template": fields["tokenizer.chat_template"],
    }


def main(source, directory):
    reader = gguf.GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in (
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
    ):
        (directory / name).write_text(json.dumps(make(fields), ensure_ascii=False, indent=1), encoding="utf-8")
    # Last, and under another name until it is whole: set-up takes the directory for complete once this file is there.
    weights = tensors(reader, fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"])
    half = directory / "model.safetensors.new"
    save_file(weights, half, metadata={"format": "pt"})
    half.rename(directory / "model.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FILE.gguf DIRECTORY")
    main(sys.argv[1], sys.argv[2])
