# shellcheck shell=bash
# Sourced by setup.sh: which libtorch is used, and the .cargo/config.toml that tells cargo so.

TORCH_VERSION=$(sed -n 's/^torch==//p' "$ROOT/python/requirements.txt")

# Does the user bring a libtorch, in one of the two ways that tch documents?
brings_libtorch() { [ -n "${LIBTORCH_USE_PYTORCH+set}" ] || [ -n "${LIBTORCH:-}" ]; }

# Prints the version of torch that the tch of Cargo.lock is written for; docs/install.md has the same pairs.
needed_version() {
    local tch
    tch=$(sed -n '/^name = "tch"$/{n;s/^version = "\(.*\)"$/\1/p}' "$ROOT/Cargo.lock")
    case $tch in
        0.24.*) echo 2.11.0 ;;
        0.26.*) echo 2.13.0 ;;
        *) fail "Cargo.lock has tch ${tch:-of no version}, which this project was not built with: use 0.24 or 0.26" ;;
    esac
}

# check_version VERSION WHERE: tch is written for one version; as in tch, LIBTORCH_BYPASS_VERSION_CHECK skips this.
check_version() {
    local needed
    [ -z "${LIBTORCH_BYPASS_VERSION_CHECK+set}" ] || return 0
    needed=$(needed_version) || exit 1
    [ "${1%%+*}" = "$needed" ] ||
        fail "$2 is version $1, but the tch of Cargo.lock needs $needed (LIBTORCH_BYPASS_VERSION_CHECK=1 skips this check)"
}

# Prints libtorch's folder. tch looks at LIBTORCH_USE_PYTORCH first, so this does too.
find_libtorch() {
    local dir python=python3
    if [ -n "${LIBTORCH_USE_PYTORCH+set}" ]; then
        # The interpreter that tch's build script would ask.
        [ -z "${VIRTUAL_ENV+set}" ] || python=python
        dir=$(package_dir "$python" torch) || fail "LIBTORCH_USE_PYTORCH is set, but $python has no torch"
        check_version "$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))')" "the torch of $python"
    elif [ -n "${LIBTORCH:-}" ]; then
        dir=$(cd "$LIBTORCH" 2>/dev/null && pwd) || fail "LIBTORCH is $LIBTORCH, which is no folder"
        # A libtorch from pytorch.org has the first file, the torch package of PyPI has the second.
        if [ -f "$dir/build-version" ]; then
            check_version "$(cat "$dir/build-version")" "the libtorch of LIBTORCH"
        elif [ -f "$dir/version.py" ]; then
            check_version "$(sed -n "s/^__version__ = '\(.*\)'$/\1/p" "$dir/version.py")" "the libtorch of LIBTORCH"
        fi
    else
        dir=$(package_dir "$VENV/bin/python" torch) || fail "torch is not in .venv: run make clean"
        # tch's build script compares this file with the version it is written for, before it compiles anything. PyPI's
        # torch has no such file, and a wrong tch would end in errors after minutes of C++.
        [ -f "$dir/build-version" ] || printf '%s\n' "$TORCH_VERSION" >"$dir/build-version"
    fi
    local lib="${LIBTORCH_LIB:-$dir}/lib"
    [ -n "$(compgen -G "$lib/libtorch.*")" ] || fail "there is no libtorch in $lib"
    printf '%s\n' "$dir"
}

# A string as TOML writes it.
toml_string() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# What .cargo/config.toml should hold for the libtorch in $1.
cargo_config() {
    local name rpath
    rpath=$(toml_string "link-arg=-Wl,-rpath,${LIBTORCH_LIB:-$1}/lib")
    printf '%s\n\n' "$MARKER"
    printf '# Where tch finds libtorch. A variable in the environment goes before these.\n[env]\n'
    printf 'LIBTORCH = %s\n' "$(toml_string "$1")"
    # The finer points of tch's build script, if you set them.
    for name in LIBTORCH_LIB LIBTORCH_INCLUDE LIBTORCH_CXX11_ABI LIBTORCH_STATIC LIBTORCH_BYPASS_VERSION_CHECK; do
        [ -z "${!name:-}" ] || printf '%s = %s\n' "$name" "$(toml_string "${!name}")"
    done
    printf '\n# Programs and tests find libtorch when they start.\n'
    printf '[target.'\''cfg(any(target_os = "linux", target_os = "macos"))'\'']\n'
    printf 'rustflags = ["-C", %s]\n' "$rpath"
    printf '\n# So do doctests.\n[build]\nrustdocflags = ["-C", %s]\n' "$rpath"
}

# Writes .cargo/config.toml for the libtorch in $1. An unchanged file is not touched.
write_cargo_config() {
    if [ -e "$CARGO_CONFIG" ] && ! config_is_ours; then
        fail ".cargo/config.toml is there but setup did not write it: move what is yours to \$CARGO_HOME/config.toml, remove it and run this again"
    fi
    mkdir -p "$(dirname "$CARGO_CONFIG")"
    cargo_config "$1" >"$CARGO_CONFIG.new"
    if cmp -s "$CARGO_CONFIG.new" "$CARGO_CONFIG"; then
        rm "$CARGO_CONFIG.new"
    else
        mv "$CARGO_CONFIG.new" "$CARGO_CONFIG"
        say "wrote .cargo/config.toml"
    fi
    # cargo reads one source of flags only, and the environment goes first.
    if [ -n "${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-}" ]; then
        say "note: RUSTFLAGS is set, so cargo leaves out the rpath and programs will need LD_LIBRARY_PATH=${LIBTORCH_LIB:-$1}/lib"
    fi
}
