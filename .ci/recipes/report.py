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


counts = [json.loads(line.removeprefix("masks ")) for line in open(log) if line.startswith("masks ")]
masks = {what: sum(count[what] for count in counts) for what in counts[0]}
history = [entry for entry in json.loads((Path(after) / "trainer_state.json").read_text())["log_history"] if "loss" in entry]
want("nothing is trained on", masks["tokens trained"] > 0)
want("no losses", len(history) > 0)
want("a loss is no number", all(math.isfinite(entry["loss"]) and math.isfinite(entry["grad_norm"]) for entry in history))
said = ", ".join(f"{n} {what}" for what, n in masks.items())
if stage == "3":
    want("no tool has answered", masks["tool answers masked"] >= masks["rollouts"] - masks["rollouts cut"] > 0)
    parts = {name.removeprefix("episode/"): value for name, value in history[0].items() if name.startswith("episode/")}
    mean, spread = (history[0]["rewards/episode_return/" + of] for of in ("mean", "std"))
    want("a reward is no number", all(map(math.isfinite, [mean, spread, *parts.values()])))
    want("all rewards are one", spread > 0)
    want("no part of the reward", "terminal" in parts and abs(sum(parts.values()) - parts["calls"] - mean) < 1e-3)
    said += f"; returns {mean:.3f} on average, spread {spread:.3f}; " + ", ".join(f"{name} {value:.4f}" for name, value in parts.items())
else:
    want("a row without words of the model", masks["messages trained"] >= masks["rows"] > 0)
    want("tools answer", (masks["tool results masked"] > 0) is (stage == "2"))
    said += "; losses " + ", ".join("%.2f" % entry["loss"] for entry in history)

old, new = (load_file(Path(folder) / "model.safetensors") for folder in (before, after))
want("the weights have not moved", any((old[name] != new[name]).any() for name in old))
print(f"stage {stage}: {said}")
