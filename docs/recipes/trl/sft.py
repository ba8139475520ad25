# SPDX-License-Identifier: Apache-2.0
"""Stages 1 and 2: supervised training of a chat model on exported lines.

    accelerate launch sft.py --config stage1.yaml --data stage1.jsonl --output_dir out/stage1
    accelerate launch sft.py --config stage2.yaml --data stage2.jsonl --model_name_or_path out/stage1 --output_dir out/stage2

The config file holds what a cluster needs; every flag of SFTConfig and
ModelConfig may stand in either. Nothing is trained if a line is too long for
max_length or if the mask of the loss is not exactly what the model says."""

import json
import sys
from dataclasses import dataclass, field

from accelerate import PartialState
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config

import rows


@dataclass
class Data:
    data: str = field(metadata={"help": "lines of `curriculum export --format openai`, split train"})
    validation: str | None = field(default=None, metadata={"help": "lines of the split validation"})
    check_rows: int = field(default=256, metadata={"help": "rows whose masks are held against their messages"})


def main():
    data, args, model = TrlParser((Data, SFTConfig, ModelConfig)).parse_args_and_config()
    if not args.assistant_only_loss or args.packing or args.shuffle_dataset:
        sys.exit("sft.py: it takes assistant_only_loss true, packing false, shuffle_dataset false (the sampler shuffles)")
    if data.validation is None:
        args.eval_strategy = "no"
    # TRL would cut a long line at its end, which is the prescription.
    longest, args.max_length = args.max_length, None
    args.model_init_kwargs = {**(args.model_init_kwargs or {}), "dtype": model.dtype or "auto", "attn_implementation": model.attn_implementation}
    raw = rows.load(data.data)
    trainer = SFTTrainer(
        model=model.model_name_or_path,
        args=args,
        train_dataset=raw,
        eval_dataset=rows.load(data.validation) if data.validation else None,
        peft_config=get_peft_config(model),
    )
    for prepared in filter(None, [trainer.train_dataset, trainer.eval_dataset]):
        found = max(len(ids) for ids in prepared["input_ids"])
        if found > longest:
            sys.exit(f"sft.py: a line has {found} tokens, and max_length is {longest}")
    try:
        count = rows.check_masks(raw, trainer.train_dataset, trainer.processing_class, data.check_rows)
    except ValueError as e:
        sys.exit(f"sft.py: the mask of the loss is wrong: {e}")
    if PartialState().is_main_process:
        print("masks", json.dumps(count), flush=True)
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_state()


if __name__ == "__main__":
    main()
