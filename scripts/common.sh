# shellcheck shell=bash
# Sourced by the other scripts: where things are, and how to speak.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV="$ROOT/.venv"
# Setup's notes on .venv. Their folder also says that setup made .venv.
# shellcheck disable=SC2034  # used where this file is sourced
STAMPS="$VENV/.setup"
CARGO_CONFIG="$ROOT/.cargo/config.toml"
# The first line of a .cargo/config.toml that setup may overwrite and remove.
MARKER='# Written by make setup: do not edit, it is written anew when something changes.'
# shellcheck disable=SC2034
MODEL_LINK="$ROOT/models/all-MiniLM-L6-v2"

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Is there a .cargo/config.toml, and did setup write it?
config_is_ours() { [ -f "$CARGO_CONFIG" ] && [ "$(head -n 1 "$CARGO_CONFIG")" = "$MARKER" ]; }
