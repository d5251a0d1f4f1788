#!/bin/sh
# Install the compilers and checkers that the tests call, or, without a permitted apt-get, name those that are missing.
set -eu
missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need gcc gcc
need g++ g++
need clang clang
need ccache ccache
need clang-format clang-format
need clang-tidy clang-tidy
need cppcheck cppcheck
need nm binutils
# What builds and runs the virtual boards.
need arm-none-eabi-gcc "gcc-arm-none-eabi libnewlib-arm-none-eabi"
need riscv64-unknown-elf-gcc "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"
need xtensa-lx106-elf-gcc "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf"
need qemu-system-arm qemu-system-arm
need qemu-system-xtensa qemu-system-misc
need node nodejs
need npm npm
# Clocks that are wrong.
need faketime faketime
# The browser that tests/pipeline/web drives.
need chromium chromium
# What builds and runs the host board for computers with AArch64.
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
need qemu-aarch64 qemu-user
has_libfuzzer() {
    echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -x c -fsanitize=fuzzer - -o /dev/null 2>/dev/null
}
install() {
    [ -z "$missing" ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing$missing"
        apt-get update -qq && apt-get install -y -qq $missing >/dev/null && return
    fi
    echo "not installed:$missing (tests that need them are skipped); on Debian and Ubuntu: sudo apt-get install$missing" >&2
}
install
# Only clang, once it is there, tells which libFuzzer is its own.
missing=""
if command -v clang >/dev/null && ! has_libfuzzer; then
    missing=" libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
fi
install
