#!/bin/sh
# Installs the Debian packages that are missing, or names them all: tools/need.sh gcc 'liba-dev|libb-dev'
# Of alternatives the first that this Debian has is taken. "python:COMMAND" stands for what an
# interpreter needs to make environments and to compile for.

interpreter() {
  "$1" -c 'import ensurepip, os, sys, sysconfig
os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null && return
  case $(command -v "$1" || echo "/usr/bin/$1") in
    /usr/bin/python3*) name=${1##*/}; missing="$missing $name $name-venv $name-dev" ;;
    *) echo "$1 has no ensurepip or no Python.h, which a whole CPython brings" >&2; exit 1 ;;
  esac
}

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The package itself, or the first of its alternatives that apt knows.
choice() {
  for name in $(echo "$1" | tr '|' ' '); do
    apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return
  done
  echo "${1%%|*}"
}

choices() {
  for need in $missing; do
    printf ' %s' "$(choice "$need")"
  done
}

install() {
  # shellcheck disable=SC2046
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends $(choices) >/dev/null
}

package() {
  for name in $(echo "$1" | tr '|' ' '); do
    installed "$name" && return
  done
  missing="$missing $1"
}

missing=
for need; do
  case $need in
    python:*) interpreter "${need#python:}" ;;
    *) package "$need" ;;
  esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "not a Debian system; this needs what these packages hold:$missing" >&2
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "missing packages; as root: apt-get install$(choices)" >&2
  exit 1
fi
echo "installing:$(choices)"
# The package lists may be absent or old: fetch them only when they fail us.
install 2>/dev/null && exit 0
apt-get update -qq
install
