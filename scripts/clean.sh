#!/usr/bin/env bash
# Removes what cargo and setup made. runs/ holds results and stays, and so does anything that setup did not make.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

if command -v cargo >/dev/null; then
    cargo clean
else
    rm -rf target
fi

if [ -f "$STAMPS/smollm2" ]; then
    rm -rf "$ROOT/models/SmolLM2-135M-Instruct"
fi

if [ -d "$STAMPS" ]; then
    # Setup's notes go last: what is left if this is cut short can still be cleaned.
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name .setup -exec rm -rf {} +
    rm -rf "$VENV"
elif [ -e "$VENV" ]; then
    printf 'clean: .venv stays, setup did not make it\n'
fi

if config_is_ours; then
    rm "$CARGO_CONFIG"
elif [ -e "$CARGO_CONFIG" ]; then
    printf 'clean: .cargo/config.toml stays, setup did not write it\n'
fi

if [ -L "$MODEL_LINK" ]; then
    rm "$MODEL_LINK"
fi
rmdir models .cargo 2>/dev/null || true
