#!/bin/sh
# Pins every package by version and SHA-256, without naming an index. Run it after changing pyproject.toml.
set -eu
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"
for role in console:"" inference:inference demo:inference,onnx dev:inference,onnx,analyser,dev; do
    extras="${role#*:}"
    set --
    for extra in $(printf '%s' "$extras" | tr ',' ' '); do set -- "$@" --extra "$extra"; done
    "$uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --no-annotate --no-header "$@" pyproject.toml -o "requirements/${role%%:*}.txt"
done
