# SPDX-License-Identifier: Apache-2.0
"""Writes a language model of a few hundred kilobytes as GGUF, for tests only.

random: weights of chance. It talks nonsense, as a broken or hostile model would.
chain:  weights by hand. Attention and feed-forward are zero, so that each token
        follows from the one before. Its chat template ends a prompt in one of two
        tokens, by whether a tool has answered; the first begins a call of
        simulation, the second one of prescription.

Nothing is learned and nothing is downloaded.
"""
import array
import random
import struct
import sys

# Types of values in a GGUF file, and of tokens.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

TEMPLATE = """{%- if tools %}{{ tools | tojson }}
{% endif %}{%- for m in messages %}{{ m.role }}: {{ m.content }}
{%- for c in m.tool_calls %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{%- endfor %}
{% endfor %}{%- if add_generation_prompt %}{% if messages[-1].role == 'tool' %}<|decide|>{% else %}<|look|>{% endif %}{%- endif %}"""

# What follows each of the two tokens, in pieces. No piece may occur twice.
CHAINS = {
    "<|look|>": ["<tool_call>", '\n{"name": "simulation", "arguments": ', '{"actions": ["[2,3]", "[2,4]"]}}', "\n</tool_call>"],
    "<|decide|>": ["<tool_call>\n", '{"name": "prescription", "arguments": ', '{"vasopressor": 2, "iv_fluid": 4}}', "\n</tool_call>\n"],
}


def vocabulary():
    tokens = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    tokens += [("<0x%02X>" % i, BYTE) for i in range(256)]
    tokens += [(start, CONTROL) for start in CHAINS]
    tokens += [(piece, NORMAL) for chain in CHAINS.values() for piece in chain]
    return tokens


def follows(tokens):
    """Pairs of tokens: which comes after which."""
    ids = {text: i for i, (text, _) in enumerate(tokens)}
    for start, chain in CHAINS.items():
        for a, b in zip([start] + chain, chain + ["</s>"]):
            yield ids[a], ids[b]


WIDTH, INNER = 64, 64


def tensors(kind, tokens):
    """Shape (rows, columns) and values of each tensor."""
    v, e, f = len(tokens), WIDTH, INNER
    chance = random.Random(1)

    def zeros(rows, columns):
        return (rows, columns), array.array("f", bytes(4 * rows * columns))

    def noise(rows, columns, scale=1):
        return (rows, columns), array.array("f", (scale * chance.gauss(0, 1) / columns**0.5 for _ in range(rows * columns)))

    inner = zeros if kind == "chain" else noise
    embedding = noise(v, e, 8)
    if kind == "chain":
        # The row of a token is the embedding of the one before it: of vectors
        # drawn by chance, each is most like itself.
        output = zeros(v, e)
        for a, b in follows(tokens):
            for k in range(e):
                output[1][b * e + k] += embedding[1][a * e + k]
    else:
        output = noise(v, e, 4)
    out = {"token_embd.weight": embedding, "output.weight": output}
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        out[name + ".weight"] = (e,), array.array("f", [1] * e)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        out["blk.0.%s.weight" % name] = inner(e, e)
    return out | {"blk.0.ffn_gate.weight": inner(f, e), "blk.0.ffn_up.weight": inner(f, e), "blk.0.ffn_down.weight": inner(e, f)}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


PACKED = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def scalar(kind, v):
    return text(v) if kind == STRING else struct.pack(PACKED[kind], v)


def value(kind, v):
    if isinstance(v, list):
        return struct.pack("<IIQ", ARRAY, kind, len(v)) + b"".join(scalar(kind, x) for x in v)
    return struct.pack("<I", kind) + scalar(kind, v)


def write(path, kind):
    tokens = vocabulary()
    weights = tensors(kind, tokens)
    meta = [
        ("general.architecture", STRING, "llama"), ("general.name", STRING, kind),
        ("llama.context_length", UINT32, 32768), ("llama.embedding_length", UINT32, WIDTH), ("llama.block_count", UINT32, 1),
        ("llama.feed_forward_length", UINT32, INNER), ("llama.attention.head_count", UINT32, 1), ("llama.rope.dimension_count", UINT32, WIDTH),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5), ("llama.vocab_size", UINT32, len(tokens)),
        ("tokenizer.ggml.model", STRING, "llama"), ("tokenizer.ggml.tokens", STRING, [t for t, _ in tokens]),
        ("tokenizer.ggml.scores", FLOAT32, [0.0] * len(tokens)), ("tokenizer.ggml.token_type", INT32, [k for _, k in tokens]),
        ("tokenizer.ggml.bos_token_id", UINT32, 1), ("tokenizer.ggml.eos_token_id", UINT32, 2), ("tokenizer.ggml.unknown_token_id", UINT32, 0),
        ("tokenizer.ggml.add_space_prefix", BOOL, False), ("tokenizer.chat_template", STRING, TEMPLATE),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(meta))
    head += b"".join(text(k) + value(t, v) for k, t, v in meta)
    offset = 0
    for name, (shape, data) in weights.items():
        head += text(name) + struct.pack("<I%dQIQ" % len(shape), len(shape), *reversed(shape), 0, offset)
        offset += (4 * len(data) + 31) // 32 * 32
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % 32))
        for _, data in weights.values():
            out.write(data.tobytes() + bytes(-4 * len(data) % 32))


if __name__ == "__main__":
    write(sys.argv[2], sys.argv[1])
