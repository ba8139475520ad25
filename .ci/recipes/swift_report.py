# SPDX-License-Identifier: Apache-2.0
"""Says what ms-swift has done, and fails where it has not: swift_report.py STAGE
FOLDER."""

import json
import math
import sys
from pathlib import Path

stage, folder = sys.argv[1:]


def want(what, holds):
    if not holds:
        sys.exit(f"ms-swift, stage {stage}: {what}")


[log] = Path(folder).glob("*/logging.jsonl")
history = [entry for entry in map(json.loads, log.read_text().splitlines()) if "loss" in entry]
want("no losses", len(history) > 0)
want("a loss is no number", all(math.isfinite(entry["loss"]) and math.isfinite(entry["grad_norm"]) for entry in history))
want("nothing is learned", history[0]["grad_norm"] > 0)
said = "losses " + ", ".join("%.2f" % entry["loss"] for entry in history)
if stage == "3":
    first = history[0]
    mean, spread, turns, tokens = (first[of] for of in ("rewards/EpisodeReturn/mean", "rewards/EpisodeReturn/std", "num_turns", "completions/mean_length"))
    want("a reward is no number", math.isfinite(mean) and math.isfinite(spread))
    want("all rewards are one", spread > 0)
    # The model says a few tokens a turn, the environment thousands.
    want("what the environment says is trained on", turns > 1 and tokens <= 16 * turns)
    said += f"; returns {mean:.3f} on average, spread {spread:.3f}; {turns:g} turns and {tokens:g} tokens trained in an episode"
print(f"ms-swift, stage {stage}: {said}")
