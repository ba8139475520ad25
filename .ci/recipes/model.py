# SPDX-License-Identifier: Apache-2.0
"""Makes a chat model of the Qwen3 family and a tokenizer from the lines at hand,
so that nothing is downloaded: model.py OUT FILE...

Its layers are of chance. Its last matrix is by hand, or no environment would
ever be called: a new line is followed by a call, most often a valid one, and the
call by the end of the message. Nothing in it knows any medicine."""

import json
import sys
from pathlib import Path

import torch
import trl
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

# Qwen's split: each digit is a token of its own, as in the real thing.
SPLIT = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
# Whole calls as single tokens. One has a level that does not exist.
LOOKS = ['\n{"name": "simulation", "arguments": {"actions": ["[%d,%d]"]}}\n' % (v, v) for v in range(5)]
GIFTS = ['\n{"name": "prescription", "arguments": {"vasopressor": %d, "iv_fluid": %d}}\n' % p for p in [(v, f) for v in range(5) for f in range(5)] + [(9, 0)]]


def texts(files):
    for name in files:
        for line in open(name, encoding="utf-8"):
            row = json.loads(line)
            yield json.dumps(row.get("tools", []))
            for message in row["messages"]:
                yield message.get("content") or ""
                for call in message.get("tool_calls", []):
                    yield call["function"]["name"] + call["function"]["arguments"]


def make_tokenizer(files):
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(texts(files), trainers.BpeTrainer(
        vocab_size=2048, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKS + LOOKS + GIFTS])
    tokenizer = Qwen2Tokenizer(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=32768)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3_instruct_2507.jinja").read_text()
    return tokenizer


def make_model(tokenizer):
    torch.manual_seed(1)
    model = Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, max_position_embeddings=32768, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))
    one = tokenizer.convert_tokens_to_ids
    follows = [(tokenizer.encode("\n")[0], one("<tool_call>")), (one("</tool_call>"), tokenizer.eos_token_id)]
    calls = [one(call) for call in LOOKS + GIFTS]
    follows += [(one("<tool_call>"), call) for call in calls] + [(calls[0], one("</tool_call>"))]
    with torch.no_grad():
        # Vectors of chance are most like themselves: a row that holds the
        # embedding of a token is likeliest after it.
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        embedding.normal_()
        embedding[calls] = embedding[calls[0]].clone()
        head.zero_()
        for before, after in follows:
            head[after] += embedding[before] / 3
    return model


if __name__ == "__main__":
    out = sys.argv[1]
    tokenizer = make_tokenizer(sys.argv[2:])
    tokenizer.save_pretrained(out)
    model = make_model(tokenizer)
    model.save_pretrained(out)
    print(f"a model of {model.num_parameters()} weights, {len(tokenizer)} tokens")
