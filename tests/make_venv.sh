#!/bin/sh
# make_venv.sh PYTHON FOLDER: a virtual environment with pip. Debian and Ubuntu keep the parts in a package of its own.
set -eu
python=$1 folder=$2

command -v "$python" >/dev/null || { echo "error: no $python on PATH; install Python 3.10 or newer." >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "error: $("$python" --version) is too old; expected Python 3.10 or newer (make PYTHON=python3.11 ...)." >&2
    exit 2
}
"$python" -m venv "$folder" >/dev/null 2>&1 && exit 0

rm -rf "$folder"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    "$python" -m venv "$folder" && exit 0
    rm -rf "$folder"
fi
echo "error: $python cannot make a virtual environment; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
exit 2
