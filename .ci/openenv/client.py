# SPDX-License-Identifier: Apache-2.0
"""Plays seeded episodes against `sepsisagent curriculum serve` with OpenEnv's own
client, and holds every answer against the schemas that the server publishes:
client.py URL SESSIONS MANIFEST."""

import json
import math
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jsonschema
from openenv.core.generic_client import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient
from openenv.validation.graders.runtime.basic import ObservationSchemaGrader, RewardWellFormedGrader, StateContractGrader
from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
from openenv.validation.runtime.collector import collect_runtime_evidence
from openenv.validation.runtime.contracts import RuntimePlan
from websockets.sync.client import connect

url, sessions, manifest = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
schema = json.load(urllib.request.urlopen(f"{url}/schema"))
check = {name: jsonschema.Draft202012Validator(schema[name]) for name in ("action", "observation", "state")}
tool_call = '<tool_call>\n{"name": "simulation", "arguments": {"actions": ["[0,0]", "[1,1]", "[2,2]"]}}\n</tool_call>'


def want(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got!r}, want {expected!r}")


def hold(result):
    """One answer against the schema, as OpenEnv's graders put it together."""
    whole = {**result.observation, "reward": result.reward, "done": result.done}
    check["observation"].validate(whole)
    want("done", type(result.done), bool)


def play(seed, episode_id):
    """One episode to its end. Returns everything that came back."""
    env = GenericEnvClient(base_url=url).sync()
    seen = []
    with env:
        first = env.reset(seed=seed, episode_id=episode_id)
        hold(first)
        want("reward of a reset", first.reward, None)
        seen.append((first.observation, first.reward, first.done))
        turn, result = 0, first
        while not result.done:
            # Look, say something useless, and prescribe what is offered first.
            offered = [line.split()[1] for line in chart_of(result, seen).splitlines() if line.startswith("- [")]
            vasopressor, iv_fluid = json.loads(offered[0])
            message = [tool_call, "I am not sure.", json.dumps({"vasopressor": vasopressor, "iv_fluid": iv_fluid})][turn % 3]
            action = {"message": message}
            check["action"].validate(action)
            result = env.step(action)
            turn += 1
            hold(result)
            if type(result.reward) not in (int, float) or not math.isfinite(result.reward) or not -1 <= result.reward <= 1:
                sys.exit(f"reward {result.reward!r}")
            seen.append((result.observation, result.reward, result.done))
            state = env.state()
            check["state"].validate(state)
            want("episode_id", state["episode_id"], episode_id)
            want("step_count", state["step_count"], turn)
            if turn > 200:
                sys.exit("the episode does not end")
        seen.append(state)
        after = env.step({"message": "still there?"})
        want("done after the end", (after.done, after.reward), (True, 0))
    return seen


def chart_of(result, seen):
    """The newest chart that has been shown."""
    for observation in [result.observation, *(o for o, *_ in reversed(seen))]:
        if "## Treatments that may be chosen" in observation["message"]:
            return observation["message"]
    sys.exit("no chart was shown")


def raw():
    """What the client library hides: bad frames, and the frame after them."""
    address = url.replace("http", "ws", 1) + "/ws"
    with connect(address) as ws:
        def ask(frame):
            ws.send(frame)
            return json.loads(ws.recv(timeout=10))

        for frame, code in [
            ("{", "INVALID_JSON"),
            ('{"type":"dance"}', "UNKNOWN_TYPE"),
            ('{"type":"state","data":{}}', "VALIDATION_ERROR"),
            ('{"type":"step","data":{"message":5}}', "VALIDATION_ERROR"),
            ('{"type":"step","data":{"message":"x"}}', "EXECUTION_ERROR"),
        ]:
            want(f"code of {frame}", ask(frame)["data"]["code"], code)
        want("frame after errors", ask('{"type":"reset","data":{"seed":1}}')["type"], "observation")
        want("call in another form", ask('{"type":"step","data":{"vasopressor":9,"iv_fluid":0}}')["data"]["observation"]["kind"], "refused")


def tools():
    """The tools by OpenEnv's tool client, and as actions of a step."""
    with MCPToolClient(base_url=url).sync() as env:
        want("tools", [t.name for t in env.list_tools()], ["simulation", "prescription"])
        shown = env.call_tool("simulation", actions=["[0,0]"])
        if "### [0,0]" not in shown["observation"]["message"]:
            sys.exit(f"simulation: {shown!r}")
    with GenericEnvClient(base_url=url).sync() as env:
        want("tools before a reset", [t["name"] for t in env.step({"type": "list_tools"}).observation["tools"]], ["simulation", "prescription"])
        env.reset(seed=1)
        called = env.step({"type": "call_tool", "tool_name": "simulation", "arguments": {"actions": ["[0,0]"]}})
        hold(called)
        want("error of a call", called.observation["error"], None)


def graded():
    """The raw evidence that OpenEnv's own graders collect, and what they say of it."""
    declared = OpenEnvYamlParser().parse(manifest)
    actions = [{"message": tool_call}, {"message": "hm"}, {"message": '{"vasopressor": 1, "iv_fluid": 1}'}, {"message": '{"vasopressor": 9, "iv_fluid": 1}'}] * 20
    plan = RuntimePlan.model_validate({"plan_schema_version": "1", "reset": {"episode_id": "probe", "seed": 5}, "actions": actions})
    first, again = (collect_runtime_evidence(url, plan, episode_timeout_s=60, request_timeout_s=5) for _ in range(2))
    for grader in (RewardWellFormedGrader(), ObservationSchemaGrader(), StateContractGrader()):
        result = grader.run(SimpleNamespace(manifest=declared, runtime_evidence=first))
        want(f"{grader.check_id} {result.evidence}", str(getattr(result.status, "value", result.status)).lower(), "pass")
    want("raw bytes of two episodes", first.exchanges == again.exchanges, True)
    return len(first.exchanges)


def crowd():
    """As many sessions as there are, and one too many."""
    address = url.replace("http", "ws", 1) + "/ws"
    held = [connect(address) for _ in range(sessions)]
    try:
        for ws in held:
            ws.send('{"type":"reset","data":{"seed":3}}')
        first = [json.loads(ws.recv(timeout=60)) for ws in held]
        want("observations of one seed", len({json.dumps(f["data"]["observation"], sort_keys=True) for f in first}), 1)
        with connect(address) as late:
            want("one session too many", json.loads(late.recv(timeout=10))["data"]["code"], "CAPACITY_REACHED")
    finally:
        for ws in held:
            ws.close()


raw()
tools()
exchanges = graded()
turns = 0
with ThreadPoolExecutor(4) as pool:
    for a, b in zip(pool.map(play, range(8), ["e"] * 8), pool.map(play, range(8), ["e"] * 8)):
        want("the same seed and actions", a == b, True)
        turns += len(a) - 2
crowd()
print(f"three graders of OpenEnv pass {exchanges} raw exchanges, twice the same bytes")
print(f"8 episodes, {turns} messages, twice the same; {sessions} sessions at once, the next refused")
