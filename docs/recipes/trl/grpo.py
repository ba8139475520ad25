# SPDX-License-Identifier: Apache-2.0
"""Stage 3: group-relative policy optimisation against `sepsisagent curriculum
serve`, from what stage 2 has saved.

    sepsisagent curriculum serve --sessions 128 --steps 3 --idle 4h &
    accelerate launch grpo.py --config stage3.yaml --url http://127.0.0.1:8000 --output_dir out/stage3

The config file holds what a cluster needs; every flag of GRPOConfig and
ModelConfig may stand in either. Training ends where the server fails, and where
an answer of a tool would be trained on."""

import functools
import json
import re
import sys
from dataclasses import dataclass, field

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, ModelConfig, TrlParser, get_peft_config

import environment
from rows import runs

# How templates of the Qwen family put answers of tools between two messages.
ANSWER = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)
AROUND = re.compile(r"\s*(<\|im_end\|>\s*)?<\|im_start\|>user\s*<\|im_end\|>\s*<\|im_start\|>assistant\s*")


@dataclass
class Episodes:
    url: str = field(default="http://127.0.0.1:8000", metadata={"help": "of `curriculum serve`"})
    starts: int = field(default=1024, metadata={"help": "starts of the split train, at most 1,024"})
    validation_starts: int = field(default=64, metadata={"help": "starts of the split validation, where eval_strategy is not no"})
    check_batches: int = field(default=8, metadata={"help": "batches whose masks are held against what tools have answered"})


def check_masks(inputs, tokenizer, shown):
    """Holds the masks of a batch against the texts that tools have answered with:
    what is masked is such answers and nothing else, and none is outside. A rollout that
    was cut is masked as a whole. Returns how many tokens of each kind there are;
    raises ValueError."""
    count = {"rollouts": 0, "rollouts cut": 0, "tool answers masked": 0, "tokens trained": 0, "tokens masked": 0}
    if "tool_mask" not in inputs:
        raise ValueError("there is no mask of tools")
    for ids, said, ours in zip(inputs["completion_ids"].tolist(), inputs["completion_mask"].tolist(), inputs["tool_mask"].tolist(), strict=True):
        real = [i for i, one in enumerate(said) if one]
        count["rollouts"] += 1
        if not any(ours[i] for i in real):
            count["rollouts cut"] += 1
            continue
        for trained, stretch in runs([ids[i] for i in real], [0 if ours[i] else -100 for i in real]):
            text = tokenizer.decode(stretch)
            if trained:
                count["tokens trained"] += len(stretch)
                if any(answer in text for answer in shown):
                    raise ValueError("an answer of a tool is trained on")
                continue
            count["tokens masked"] += len(stretch)
            answers = ANSWER.findall(text)
            if not answers or any(answer not in shown for answer in answers) or not AROUND.fullmatch(ANSWER.sub("", text)):
                raise ValueError("something that no tool has answered is masked")
            count["tool answers masked"] += len(answers)
    return count


class Trainer(GRPOTrainer):
    """GRPOTrainer that declares the tools as they are served and checks masks."""

    def __init__(self, *arguments, tools_served, check_batches, **keywords):
        super().__init__(*arguments, **keywords)
        # TRL would describe the methods of the environment in its own words.
        if set(self._env_tools) != {None}:
            sys.exit("grpo.py: this TRL keeps its tools elsewhere; the pinned one is tested")
        self._env_tools = {None: tools_served}
        self._to_check = check_batches

    def compute_loss(self, model, inputs, *arguments, **keywords):
        if self._to_check > 0:
            self._to_check -= 1
            # What an ended episode is told is an answer too.
            shown = {text for e in self._environment_pool[None] for text in e._shown} | {str({"error": "The episode has ended."})}
            try:
                count = check_masks(inputs, self.processing_class, shown)
            except ValueError as e:
                sys.exit(f"grpo.py: the mask of the loss is wrong: {e}")
            print("masks", json.dumps(count), flush=True)
        return super().compute_loss(model, inputs, *arguments, **keywords)


def main():
    episodes, args, model = TrlParser((Episodes, GRPOConfig, ModelConfig)).parse_args_and_config()
    args.model_init_kwargs = {**(args.model_init_kwargs or {}), "dtype": model.dtype or "auto", "attn_implementation": model.attn_implementation}
    instructions, tools = environment.introduction(episodes.url)

    def starts(split, most):
        prompt = [{"role": "system", "content": instructions}, {"role": "user", "content": ""}]
        return Dataset.from_list([{"prompt": prompt, **task} for task in environment.tasks(episodes.url, split, most)])

    trainer = Trainer(
        model=model.model_name_or_path,
        args=args,
        train_dataset=starts("train", episodes.starts),
        eval_dataset=starts("validation", episodes.validation_starts) if args.eval_strategy != "no" else None,
        reward_funcs=environment.episode_return,
        environment_factory=functools.partial(environment.SepsisICU, episodes.url),
        peft_config=get_peft_config(model),
        tools_served=tools,
        check_batches=episodes.check_batches,
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_state()


if __name__ == "__main__":
    main()
