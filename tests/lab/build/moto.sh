#!/usr/bin/env bash
# Installs the EC2 endpoint (moto) in a virtual environment.
# Usage: moto.sh VIRTUAL-ENVIRONMENT
set -euo pipefail

requirements=$(cd "$(dirname "$0")/../moto" && pwd)/requirements.txt

echo "EC2 endpoint: installing moto in a virtual environment (about half a minute)"
started=$SECONDS
rm -rf "$1"
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
touch "$1/installed"
echo "EC2 endpoint: ready after $((SECONDS - started)) s"
