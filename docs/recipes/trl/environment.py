# SPDX-License-Identifier: Apache-2.0
"""`sepsisagent curriculum serve` as TRL wants an environment: one object plays one
rollout at a time over a session of its own, and its public methods are the tools."""

import json
import math
import urllib.request

from openenv.core.generic_client import GenericEnvClient

ENVIRONMENT = "sepsis_icu"


def tasks(url, split, most):
    """Rows to reset with: a seed and a kind of start, of one split. Seeds of
    splits never overlap."""
    body = json.dumps({"split": split, "start": 0, "stop": most}).encode()
    request = urllib.request.Request(f"{url}/{ENVIRONMENT}/task_range", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [{"seed": task["seed"], "task": task["task"]} for task in json.load(answer)["tasks"]]


def introduction(url):
    """The system message and the tools as they are served, which is as stage 2
    has them. A session that ends here."""
    with GenericEnvClient(base_url=url).sync() as session:
        tools = session.step({"type": "list_tools"}).observation["tools"]
        instructions = session.reset(seed=0).observation["instructions"]
    return instructions, [
        {"type": "function", "function": {"name": t["name"], "description": t["description"], "parameters": t["input_schema"]}} for t in tools
    ]


class SepsisICU:
    """One rollout. Whatever arguments the model gives go to the server as they
    are: what is wrong with them is answered, and priced, there."""

    def __init__(self, url):
        self._url = url
        self._session = None
        self._forget()

    def _forget(self):
        self._done, self._return, self._parts, self._shown = False, 0.0, {}, []

    def reset(self, seed, task, **row):
        """Begins an episode. The chart it returns goes after the last message of
        the prompt; group members share seed and task, and so the patient."""
        self._forget()
        try:
            if self._session is None:
                self._session = GenericEnvClient(base_url=self._url).sync()
                self._session.connect()
            return self._session.reset(seed=seed, task=task).observation["message"]
        except Exception as e:
            raise SystemExit(f"{self._url} does not reset (is --sessions at least the generation batch?): {e}") from e

    def simulation(self, **arguments):
        return self._call("simulation", arguments)

    def prescription(self, **arguments):
        return self._call("prescription", arguments)

    def _call(self, tool, arguments):
        if self._done:
            raise ValueError("The episode has ended.")  # TRL answers with it
        self._step({"tool": tool, "arguments": arguments})
        return self._shown[-1]

    def _step(self, action):
        # TRL would make a tool's answer of any Exception, and train on it.
        try:
            result = self._session.step(action)
        except Exception as e:
            raise SystemExit(f"{self._url} does not answer: {e}") from e
        if not isinstance(result.reward, (int, float)) or not math.isfinite(result.reward):
            raise SystemExit(f"{self._url}: the reward {result.reward!r} is no number")
        self._done = result.done
        self._return += result.reward
        for part, value in result.metadata["reward_parts"].items():
            self._parts[part] = self._parts.get(part, 0.0) + value
        self._shown.append(result.observation["message"])

    def _finish(self):
        """The return of the rollout. A model that has stopped calling before the
        end says nothing until the environment ends the episode: to stop while
        ahead must not pay."""
        said = len(self._shown)
        while not self._done:
            self._step({"message": ""})
        del self._shown[said:]  # the model has not seen these
        return self._return


def episode_return(environments, log_metric, **_):
    """The reward of each rollout, and the means of its parts for the log."""
    returns = [environment._finish() for environment in environments]
    for part in sorted({part for environment in environments for part in environment._parts}):
        log_metric(f"episode/{part}", sum(e._parts.get(part, 0.0) for e in environments) / len(environments))
    log_metric("episode/calls", sum(len(e._shown) for e in environments) / len(environments))
    return returns
