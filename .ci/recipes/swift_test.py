# SPDX-License-Identifier: Apache-2.0
"""Loads lines as `swift sft --strict true` does and holds what it would train on
against their messages: swift_test.py MODEL FILE."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs/recipes/trl"))

from swift import get_processor, get_template
from swift.dataset import EncodePreprocessor, load_dataset

import rows

model, file = sys.argv[1:]
tokenizer = get_processor(model, model_type="qwen3")
template = get_template(tokenizer, template_type="qwen3_nothinking", agent_template="hermes", loss_scale="default", max_length=32768)
template.set_mode("train")
dataset, _ = load_dataset(file, split_dataset_ratio=0, strict=True)


def turns(line):
    """Messages as a chat template has them: calls belong to what was said before."""
    out = []
    for message in line["messages"]:
        if message["role"] == "tool_call":
            call = json.loads(message["content"])
            if out[-1]["role"] != "assistant":
                out.append({"role": "assistant", "content": "", "tool_calls": []})
            out[-1]["tool_calls"].append({"function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}})
        else:
            out.append({"role": "tool" if message["role"] == "tool_response" else message["role"], "content": message["content"], "tool_calls": []})
    return out


with open(file, encoding="utf-8") as lines:
    raw = [{"messages": turns(json.loads(line))} for line in lines]
if len(dataset) != len(raw):
    sys.exit(f"{file}: {len(raw)} lines, {len(dataset)} rows")
prepared = [template.encode(dataset[i]) for i in range(len(raw))]
try:
    count = rows.check_masks(raw, prepared, tokenizer, len(raw))
except ValueError as e:
    sys.exit(f"the mask of the loss is wrong: {e}")
print("ms-swift:", ", ".join(f"{n} {what}" for what, n in count.items()))
