#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl as one executable.
# Usage: control-plane.sh OUTPUT-FOLDER
set -euo pipefail

source=$(cd "$(dirname "$0")/../control-plane" && pwd)
mkdir -p "$1"
output=$(cd "$1" && pwd)

# The toolchain that is here, never one that the go command would fetch.
export GOTOOLCHAIN=local
cd "$source"

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
major=$(echo "$version" | cut -d. -f1 | tr -d v)
minor=$(echo "$version" | cut -d. -f2)
package=k8s.io/component-base/version

echo "control plane: building etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl $version from source (minutes the first time, seconds later)"
started=$SECONDS
# What an earlier build left in the cache is not compiled again, and so not counted.
total=$(go list -trimpath -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' . | grep -c .) || true
compiled=$(mktemp)
trap 'rm -f "$compiled"' EXIT

# Without a version the server calls itself v0.0.0-master, and clients that look at /version decide wrongly.
go build -v -trimpath \
  -ldflags "-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor" \
  -o "$output/control-plane.new" . 2>"$compiled" &
build=$!
while kill -0 "$build" 2>/dev/null; do
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    sleep 1
    kill -0 "$build" 2>/dev/null || break
  done
  kill -0 "$build" 2>/dev/null || break
  count=$(wc -l <"$compiled")
  progress="$count of $total packages compiled"
  if ((count >= total)); then progress="all $total packages compiled, linking"; fi
  echo "control plane: $progress after $((SECONDS - started)) s"
done
if ! wait "$build"; then
  grep -v '^[a-z0-9./_-]*$' "$compiled" >&2 || true
  echo "control plane: the build failed" >&2
  exit 1
fi
mv "$output/control-plane.new" "$output/control-plane"
ln -sf control-plane "$output/kubectl"
echo "control plane: ready after $((SECONDS - started)) s"
