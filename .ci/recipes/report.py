# SPDX-License-Identifier: Apache-2.0
"""Says what a stage has done, and fails where it has not: report.py STAGE BEFORE
AFTER LOG. The weights must have moved, each loss must be a number, and what the
mask covers must be of the kinds that the stage has."""

import json
import math
import sys
from pathlib import Path

from safetensors.torch import load_file

stage, before, after, log = sys.argv[1:]


def want(what, holds):
    if not holds:
        sys.exit(f"stage {stage}: {what}")


masks = next(json.loads(line.removeprefix("masks ")) for line in open(log) if line.startswith("masks "))
want("nothing is trained on", masks["tokens trained"] > 0 and masks["messages trained"] >= masks["rows"] > 0)
want("tools answer", (masks["tool results masked"] > 0) is (stage == "2"))

history = [entry for entry in json.loads((Path(after) / "trainer_state.json").read_text())["log_history"] if "loss" in entry]
want("no losses", len(history) > 0)
want("a loss is no number", all(math.isfinite(entry["loss"]) and math.isfinite(entry["grad_norm"]) for entry in history))

old, new = (load_file(Path(folder) / "model.safetensors") for folder in (before, after))
want("the weights have not moved", any((old[name] != new[name]).any() for name in old))
print(f"stage {stage}: {', '.join(f'{n} {what}' for what, n in masks.items())}; losses {', '.join('%.2f' % entry['loss'] for entry in history)}")
