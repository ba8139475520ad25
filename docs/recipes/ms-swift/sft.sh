#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stages 1 and 2 with ms-swift on eight GPUs of 80 GB; later flags win:
#
#   sft.sh 1 stage1.jsonl out/stage1
#   sft.sh 2 stage2.jsonl out/stage2 --model out/stage1/vN-.../checkpoint-M
#
# Lines are those of `curriculum export --format ms-swift`, split train. Do not
# pack: a line over max_length is then left out without a word, strict or not.
set -euo pipefail
stage=$1 data=$2 out=$3
shift 3
case $stage in
1) rate=1e-5 epochs=2 length=8192 ;;
2) rate=5e-6 epochs=1 length=16384 ;;
*) echo "sft.sh: stage $stage is not one of 1 and 2" >&2; exit 2 ;;
esac
# strict: a row that cannot be read, or is too long, ends the run. loss_scale default: every turn
# of the model is trained on, and no answer of a tool.
exec swift sft \
	--model Qwen/Qwen3-4B-Instruct-2507 --tuner_type full --agent_template hermes \
	--dataset "$data" --split_dataset_ratio 0 --strict true --loss_scale default --max_length $length \
	--torch_dtype bfloat16 --bf16 true --attn_impl sdpa --gradient_checkpointing true --deepspeed zero2 \
	--per_device_train_batch_size 1 --gradient_accumulation_steps 4 \
	--learning_rate $rate --warmup_ratio 0.03 --num_train_epochs $epochs \
	--logging_steps 10 --save_strategy epoch --save_total_limit 2 --report_to none --seed 1 \
	--output_dir "$out" "$@"
