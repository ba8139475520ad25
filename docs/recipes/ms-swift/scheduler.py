# SPDX-License-Identifier: Apache-2.0
"""A plugin for ms-swift: the words of `sepsisagent curriculum serve` as stage 2
has them, and its rewards. Its own scheduler would show the observation as JSON,
and send JSON that the model writes as an action of its own form."""

from swift.rewards import ORM, orms
from swift.rollout.multi_turn import OpenEnvScheduler, multi_turns


class SepsisScheduler(OpenEnvScheduler):
    # Sessions that are opened at once.
    max_concurrent_envs = 16

    def parse_action(self, text):
        """The server finds calls in what the model says, and prices what it
        cannot read."""
        return {"message": text}

    def format_observation(self, observation):
        """The first chart, and a word to a message without a call, are said by the
        user. All else answers a call, and is wrapped as templates of the Qwen
        family wrap what a tool has said."""
        text = observation["message"]
        if "instructions" in observation or observation["kind"] in ("reminder", "end"):
            return text
        return f"<tool_response>\n{text}\n</tool_response>"


multi_turns["sepsis_scheduler"] = SepsisScheduler


class EpisodeReturn(ORM):
    """The sum of an episode's rewards. --use_gym_env would add the same, but is
    passed over without a word where rollouts are not vLLM's."""

    def __call__(self, completions, rollout_infos, **_):
        return [info["total_reward"] for info in rollout_infos]


orms["episode_return"] = EpisodeReturn
