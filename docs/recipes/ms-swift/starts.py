# SPDX-License-Identifier: Apache-2.0
"""Writes the rows of stage 3 for ms-swift: starts.py URL SPLIT COUNT > starts.jsonl.
Each row is a start of a running `sepsisagent curriculum serve`; members of a group
share it. It needs ../trl/environment.py beside it."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "trl"))

from environment import introduction, tasks

url, split, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
instructions, tools = introduction(url)
for task in tasks(url, split, count):
    print(json.dumps({
        "messages": [{"role": "user", "content": "start"}],  # the scheduler puts the chart here
        "tools": json.dumps(tools, ensure_ascii=False),
        "env_config": {"name": "openenv", "base_url": url, "system_message": instructions, "reset_kwargs": task},
    }, ensure_ascii=False))
