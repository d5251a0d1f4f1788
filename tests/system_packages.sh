#!/bin/sh
# The compilers and checkers that the tests call; installed where apt-get is there and permitted, else named.
set -eu
missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need gcc gcc
need g++ g++
need clang clang
need cppcheck cppcheck
need nm binutils
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing"
    apt-get update -qq && apt-get install -y -qq $missing >/dev/null && exit 0
fi
echo "not installed:$missing (tests that need them are skipped); on Debian and Ubuntu: sudo apt-get install$missing" >&2
