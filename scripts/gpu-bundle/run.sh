#!/bin/sh
# Runs @x on the GPU of this machine, with nothing but what is in this folder.
case "$0" in
  */*) here=$(cd "${0%/*}" && pwd) ;;
  *) here=$PWD ;;
esac

help() {
  cat <<'HELP'
./run.sh [all]               the self-test, the suites and the bench, one after the other
./run.sh self-test [OPTION]  every kernel against the float64 reference
./run.sh suites [TEXT]       the tests of devices and kernels; only files whose path contains TEXT
./run.sh goldens [OPTION]    agreement with the original implementations
./run.sh bench [OPTION]      speed of the GPU; --peak-tflops NUMBER gives shares of that peak
./run.sh launches            what each launch loads and stores, against the least
./run.sh probe               which GPU is found, and whether it computes

Needed: Linux on x86-64 with glibc 2.28 or newer, libstdc++, and a driver for Vulkan.

"a GPU adapter is needed, got none" means that no driver or no loader was found:
- The loader, libvulkan.so.1, may be missing where a driver is installed. Bring Debian's package
  libvulkan1 (apt-get download libvulkan1) and unpack it beside this file:
      dpkg -x libvulkan1_*.deb .        or        ar p libvulkan1_*.deb data.tar.xz | tar xJ
  Any libvulkan.so.1 in the folder `lib` will do too. Both places are looked into.
- The driver's manifest may be in an unusual place. Name it:
      VK_DRIVER_FILES=/some/where/nvidia_icd.json ./run.sh probe
- A folder with a driver named libvulkan.so.1, such as SwiftShader's, goes into LD_LIBRARY_PATH.
HELP
}

for folder in "$here/lib" "$here/usr/lib/x86_64-linux-gnu"; do
  if [ -d "$folder" ]; then LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; fi
done
export LD_LIBRARY_PATH
X_GPU=system X_TEST_DEVICES=webgpu
export X_GPU X_TEST_DEVICES
: "${DIFFERENTIAL_PROGRAMS:=500}" "${DIFFERENTIAL_ATTENTIONS:=200}"
export DIFFERENTIAL_PROGRAMS DIFFERENTIAL_ATTENTIONS

what="${1:-all}"
[ $# -gt 0 ] && shift
run() {
  program="$here/$1"
  shift
  "$here/bin/node" "$program" "$@"
}

case "$what" in
  self-test) run bench.mjs self-test "$@" ;;
  suites) run run-suites.mjs "$@" ;;
  goldens) run goldens.mjs --device webgpu --dir "$here/goldens" "$@" ;;
  bench) run bench.mjs gpu "$@" ;;
  launches) run bench.mjs launches "$@" ;;
  probe) run bench.mjs self-test --only "matmul 4 × 4" ;;
  all)
    status=0
    for step in self-test suites bench; do
      "$here/run.sh" "$step" || status=1
    done
    exit "$status"
    ;;
  help | --help | -h) help ;;
  *)
    echo "There is no $what. See ./run.sh --help." >&2
    exit 2
    ;;
esac
