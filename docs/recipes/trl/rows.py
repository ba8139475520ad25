# SPDX-License-Identifier: Apache-2.0
"""Rows of `sepsisagent curriculum export --format openai`, and what must hold of
their tokens before anything is trained on them."""

import json

from datasets import Dataset, Features, List, Value

# A declared type for everything: left to itself, Arrow gives every tool the
# arguments of all tools. A declaration of tools stays one text, which TRL reads.
FEATURES = Features({
    "messages": List({
        "role": Value("string"),
        "content": Value("string"),
        "tool_calls": List({"type": Value("string"), "function": {"name": Value("string"), "arguments": Value("string")}}),
    }),
    "tools": Value("string"),
})


def call_of(call):
    """A call without its id, and its arguments spaced as the templates of the Qwen
    family space an object: what the model has seen so often."""
    function = call["function"]
    arguments = json.dumps(json.loads(function["arguments"]), ensure_ascii=False)
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def load(path):
    """The lines of a file, without what only OpenAI reads (weight, ids)."""
    rows = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            messages = [
                {
                    "role": message["role"],
                    "content": message.get("content") or "",
                    "tool_calls": [call_of(call) for call in message.get("tool_calls", [])] or None,
                }
                for message in row["messages"]
            ]
            rows.append({"messages": messages, "tools": json.dumps(row["tools"], ensure_ascii=False) if "tools" in row else None})
    return Dataset.from_list(rows, features=FEATURES)


def runs(ids, labels):
    """The tokens in stretches of one kind, as (trained, ids)."""
    stretches = []
    for token, label in zip(ids, labels, strict=True):
        trained = label != -100
        if not stretches or stretches[-1][0] != trained:
            stretches.append((trained, []))
        stretches[-1][1].append(token)
    return stretches


def check_masks(raw, prepared, tokenizer, rows):
    """Holds labels against messages: what the model says is trained on, each
    message in a stretch of its own with the token that ends it, and nothing else
    is. Returns how many tokens of each kind there are; raises ValueError."""
    count = {"rows": 0, "messages trained": 0, "messages masked": 0, "tool results masked": 0, "tokens trained": 0, "tokens masked": 0}
    for i in range(min(rows, len(raw))):
        stretches = runs(prepared[i]["input_ids"], prepared[i]["labels"])
        at = 0
        for message in raw[i]["messages"]:
            ours = message["role"] == "assistant"
            if ours:
                at += 1
            text = tokenizer.decode(stretches[at][1]) if at < len(stretches) else ""
            wanted = [message["content"]] + [c["function"]["arguments"] for c in message["tool_calls"] or []]
            if at >= len(stretches) or stretches[at][0] != ours or any(w not in text for w in wanted) or (ours and not text.rstrip("\n").endswith(tokenizer.eos_token)):
                raise ValueError(f"row {i}: a message of {message['role']} is {'not trained on' if ours else 'trained on'}")
            if ours:
                count["messages trained"] += 1
                at += 1
            else:
                count["messages masked"] += 1
                count["tool results masked"] += message["role"] == "tool"
        if sum(trained for trained, _ in stretches) != sum(m["role"] == "assistant" for m in raw[i]["messages"]):
            raise ValueError(f"row {i}: more is trained on than what the model says")
        count["rows"] += 1
        count["tokens trained"] += sum(len(ids) for trained, ids in stretches if trained)
        count["tokens masked"] += sum(len(ids) for trained, ids in stretches if not trained)
    return count
