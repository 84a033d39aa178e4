#!/usr/bin/env bash
# Says, one line each, what is missing on this machine; silent and successful when nothing is.
set -u

missing=0

need() {
  echo "missing: $1" >&2
  missing=1
}

# at_least WANTED FOUND: compares dotted versions.
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

rust=$(rustc --version 2>/dev/null | awk '{print $2}')
at_least 1.95 "${rust:-0}" || need "Rust 1.95 or newer (found: ${rust:-none}); install it with rustup"

go=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')
at_least 1.26 "${go:-0}" || need "Go 1.26 or newer (found: ${go:-none}); install it from your distribution or go.dev"

python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
at_least 3.11 "${python:-0}" || need "Python 3.11 or newer (found: ${python:-none}); install it from your distribution"
if [ -n "$python" ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  need "Python's venv module; install python3-venv from your distribution"
fi

command -v cc >/dev/null 2>&1 || need "a C compiler named cc; install gcc or clang from your distribution"
command -v setpriv >/dev/null 2>&1 || need "setpriv (Linux only); install util-linux from your distribution"

exit "$missing"
