# SPDX-License-Identifier: Apache-2.0
"""What the recipes' own checks of masks say of masks that are wrong:
masks_test.py MODEL FILE. The file holds lines of stage 2."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs/recipes/trl"))

import torch
from transformers import AutoTokenizer
from trl.chat_template_utils import get_training_chat_template

import grpo
import rows

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
template = get_training_chat_template(tokenizer)
raw = rows.load(sys.argv[2]).select([0])
row = raw[0]
made = tokenizer.apply_chat_template(
    row["messages"], tools=rows.json.loads(row["tools"]), chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
ids, mask = made["input_ids"], made["assistant_masks"]


def labels(mask):
    return [token if trained else -100 for token, trained in zip(ids, mask, strict=True)]


def refused(check, *arguments):
    try:
        check(*arguments)
    except ValueError:
        return True
    return False


def supervised(mask):
    return refused(rows.check_masks, raw, [{"input_ids": ids, "labels": labels(mask)}], tokenizer, 1)


# The ends of the first and the second thing that the model says.
first = mask.index(1)
end = first + mask[first:].index(0)
second = end + mask[end:].index(1)
last = max(i for i, trained in enumerate(mask) if trained)
shown = {message["content"] for message in row["messages"] if message["role"] == "tool"}


def reinforced(mask):
    """The same line as a rollout: what follows the prompt."""
    inputs = {"completion_ids": torch.tensor([ids[first:]]), "completion_mask": torch.ones(1, len(ids) - first), "tool_mask": torch.tensor([mask[first:]])}
    return refused(grpo.check_masks, inputs, tokenizer, shown)


cases = [
    ("the right mask", mask, False, False),
    ("everything is trained on", [1] * len(mask), True, True),
    ("nothing is trained on", [0] * len(mask), True, False),  # a rollout that was cut
    ("a tool's answer is trained on", mask[:end] + [1] * (second - end) + mask[second:], True, True),
    ("a part of a tool's answer is trained on", mask[: end + 20] + [1] * 20 + mask[end + 40 :], True, True),
    ("the chart is trained on", [1] * first + mask[first:], True, False),  # no part of a rollout
    ("the first call is not trained on", [0] * end + mask[end:], True, True),
    ("the prescription is not trained on", mask[: last - 8] + [0] * (len(mask) - last + 8), True, True),
    ("the end of a message is not trained on", mask[: end - 2] + [0] * 2 + mask[end:], True, None),
]
for name, case, *wanted in cases:
    for stage, want, check in zip(("1 and 2", "3"), wanted, (supervised, reinforced), strict=True):
        if want is not None and check(case) is not want:
            sys.exit(f"the check of masks of stage {stage}: {name}: {'taken' if want else 'refused'}")
print("the checks of masks take right ones and refuse wrong ones")
