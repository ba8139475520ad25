# SPDX-License-Identifier: Apache-2.0
"""What the recipes' own check of masks says of labels that are wrong:
masks_test.py MODEL FILE."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs/recipes/trl"))

from transformers import AutoTokenizer
from trl.chat_template_utils import get_training_chat_template

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


def refused(mask):
    try:
        rows.check_masks(raw, [{"input_ids": ids, "labels": labels(mask)}], tokenizer, 1)
    except ValueError:
        return True
    return False


# The ends of the first and the second thing that the model says.
first = mask.index(1)
end = first + mask[first:].index(0)
second = end + mask[end:].index(1)
last = max(i for i, trained in enumerate(mask) if trained)
cases = {
    "the right mask": (mask, False),
    "everything is trained on": ([1] * len(mask), True),
    "nothing is trained on": ([0] * len(mask), True),
    "a tool's answer is trained on": (mask[:end] + [1] * (second - end) + mask[second:], True),
    "the chart is trained on": ([1] * first + mask[first:], True),
    "the first call is not trained on": ([0] * end + mask[end:], True),
    "the prescription is not trained on": (mask[: last - 8] + [0] * (len(mask) - last + 8), True),
    "the end of a message is not trained on": (mask[: end - 2] + [0] * 2 + mask[end:], True),
}
for name, (case, want) in cases.items():
    if refused(case) is not want:
        sys.exit(f"the check of masks: {name}: {'taken' if want else 'refused'}")
print(f"the check of masks takes the right one and refuses {len(cases) - 1} wrong ones")
