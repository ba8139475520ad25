#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stage 3 with ms-swift on eight GPUs of 80 GB; later flags win:
#
#   sepsisagent curriculum serve --sessions 128 --steps 3 --idle 4h &
#   python starts.py http://127.0.0.1:8000 train 1024 >starts.jsonl
#   grpo.sh starts.jsonl out/stage3 --model out/stage2/vN-.../checkpoint-M
#
# --max_turns is five messages per prescription of `serve --steps`, or episodes are
# cut before they end and have no terminal reward.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=$1 out=$2
shift 2
engine=(--use_vllm true --vllm_mode colocate --vllm_gpu_memory_utilization 0.3 --vllm_max_model_len 40960)
case " $* " in *' --use_vllm false '*) engine=() ;; esac # it takes none of the others then
# log_completions false: they are charts of patients.
exec swift rlhf --rlhf_type grpo \
	--model Qwen/Qwen3-4B-Instruct-2507 --tuner_type full --agent_template hermes \
	--dataset "$data" --split_dataset_ratio 0 --strict true --loss_scale default \
	--external_plugins "$here/scheduler.py" --multi_turn_scheduler sepsis_scheduler --reward_funcs episode_return --max_turns 15 \
	"${engine[@]}" \
	--max_length 40960 --max_completion_length 1024 --completion_length_limit_scope per_round --temperature 1.0 \
	--num_generations 8 --per_device_train_batch_size 1 --gradient_accumulation_steps 8 \
	--beta 0 --loss_type dapo --scale_rewards batch --learning_rate 1e-6 --warmup_ratio 0.03 --lr_scheduler_type constant_with_warmup \
	--torch_dtype bfloat16 --bf16 true --attn_impl sdpa --gradient_checkpointing true --deepspeed zero2 \
	--num_train_epochs 2 --logging_steps 1 --save_strategy steps --save_steps 50 --save_total_limit 3 \
	--log_completions false --report_to none --seed 1 --output_dir "$out" "$@"
