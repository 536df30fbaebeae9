#!/usr/bin/env bash
# Packages each crate that is to be published: what is in the package, and that it builds from the package alone.
#
# Cargo resolves crates of this workspace that the registry lacks from the packages it has just made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CRATES=(grades-core grades-policies grades-lora grades-models grades-finetune)
declare -A FOLDER=([grades-core]=grades)

fail() {
    printf 'package: %s\n' "$*" >&2
    exit 1
}

for crate in "${CRATES[@]}"; do
    list=$(cargo package -p "$crate" --list --allow-dirty)
    for file in README.md LICENSE-MIT LICENSE-APACHE src/lib.rs Cargo.toml; do
        grep -qx "$file" <<<"$list" || fail "$crate lacks $file"
    done
    # Tests need files of the workspace, data and models are not for the registry.
    stray=$(grep -vE '^(README\.md|LICENSE-(MIT|APACHE)|build\.rs|(src|csrc)/.*|Cargo\.(toml|toml\.orig|lock)|\.cargo_vcs_info\.json)$' <<<"$list" || true)
    [ -z "$stray" ] || fail "$crate has files that do not belong there: $stray"
    # Everything that the sources include must be in the package, too.
    folder=${FOLDER[$crate]:-$crate}
    ! grep -rnE 'include_(str|bytes)!\("(\.\./)+(docs|tests|examples)' "$folder/src" ||
        fail "$crate includes a file that its package does not have"
done

# All packages are unpacked into one workspace of their own, which has nothing else of this one. It is built with this workspace's
# profile and target directory, so that the C++ of tch, which takes minutes, is not compiled once more.
target=${CARGO_TARGET_DIR:-$PWD/target}
packages=()
for crate in "${CRATES[@]}"; do packages+=(-p "$crate"); done
cargo package --no-verify --allow-dirty --target-dir "$target" "${packages[@]}"

house=$target/packages
rm -rf "$house"
mkdir -p "$house"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
{
    printf '[workspace]\nresolver = "3"\nmembers = ["*"]\n\n[patch.crates-io]\n'
    for crate in "${CRATES[@]}"; do printf '%s = { path = "%s-%s" }\n' "$crate" "$crate" "$version"; done
    printf '\n'
    sed -n '/^\[profile/,$p' Cargo.toml
} >"$house/Cargo.toml"
cp Cargo.lock "$house/"
# The time of the files is that of the unpacking: by it cargo knows what to build again.
for crate in "${CRATES[@]}"; do tar xzmf "$target/package/$crate-$version.crate" -C "$house"; done
for crate in "${CRATES[@]}"; do
    # Features that the workspace switches on are off here, so warnings appear that clippy does not see.
    output=$(cargo check --manifest-path "$house/Cargo.toml" --target-dir "$target" -p "$crate" 2>&1) ||
        fail "$crate does not build from its package: $output"
    printf '%s\n' "$output"
    ! grep -q '^warning: `.*` .* generated' <<<"$output" || fail "$crate has warnings when it is built on its own"
done
