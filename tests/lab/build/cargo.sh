#!/usr/bin/env bash
# Runs cargo, and says every half minute that it is still at work: without a terminal, cargo is silent while it compiles a package, and
# some take minutes.
# Usage: cargo.sh ARGUMENTS-OF-CARGO
set -euo pipefail

if [ -t 2 ]; then
  exec cargo "$@"
fi

# A pipe that nobody writes to: waiting for it takes no process that could stay behind.
exec 3<> <(:)
{
  while kill -0 $$ 2>/dev/null; do
    read -r -t 30 -u 3 || true
    echo "cargo $1: at work for $SECONDS s" >&2
  done
} &
notice=$!
trap 'kill "$notice" 2>/dev/null || true' EXIT
cargo "$@"
