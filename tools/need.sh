#!/bin/sh
# Installs the Debian packages that are missing, or says which: tools/need.sh gcc libuv1-dev
missing=
for package; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "not a Debian system; this needs what these packages hold:$missing" >&2
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "missing packages; as root: apt-get install$missing" >&2
  exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# The package lists may be absent or old: fetch them only when they fail us.
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 && exit 0
apt-get update -qq
# shellcheck disable=SC2086
exec apt-get install -qq -y --no-install-recommends $missing >/dev/null
