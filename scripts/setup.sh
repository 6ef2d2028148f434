# Sourced by scripts/bench and scripts/test: what Tally needs, how it is installed, and how it is built.
# shellcheck shell=bash

# The one list of packages, as Debian 12 names them: package, then why. With `tests`, also those that tests alone need; with
# `quick-tests`, of these those that the quick tests need.
tally_packages() {
  cat <<'LIST'
cmake                    configures the build
ninja-build              runs the build
g++                      C++20 compiler (12.2)
libbenchmark-dev         Google Benchmark: the engine of `tally run`
libtbb-dev               oneTBB: the model tbb_flow_graph
libboost1.81-dev         Boost headers: the flat map that counts text keys; Boost.Asio: the model coroutines_asio
libboost-fiber1.81-dev   Boost.Fiber: the model fibers
libboost-context1.81-dev Boost.Context: what Boost.Fiber switches with
libcli11-dev             the command line
libgtest-dev             GoogleTest: the tests of the C++ code
liburing-dev             liburing: the ring of `--io io_uring`
libnlopt-dev             NLopt: fits what models cost to what was measured
nlohmann-json3-dev       result files
zlib1g-dev               gzip input
libhiredis-dev           hiredis: loads a real database, and asks it what it is
libzstd-dev              zstd input
libsimdjson-dev          NDJSON input, and telling UTF-8
libre2-dev               lines keyed by a regular expression, in linear time
python3                  plots and their tests
python3-matplotlib       plots
python3-numpy            plots
python3-jsonschema       result files against their schema
python3-twisted          one of the servers that serving is compared with (scripts/peers)
LIST
  [ "${1:-}" = quick-tests ] || cat <<'LIST'
libopenmpi-dev           Open MPI: tally-mpi, which is not built without it
openmpi-bin              mpirun
LIST
  [ -n "${1:-}" ] || return 0
  cat <<'LIST'
python3-pytest           the tests of the scripts
python3-pytest-xdist     runs them side by side
zstd                     makes the zstd files that tests read
LIST
  [ "$1" = tests ] || return 0
  cat <<'LIST'
redis-server             the database that lookups are tested on (scripts/with_redis)
iproute2                 ip and tc: hosts of their own, on which tally-mpi is tested (scripts/with_hosts)
redis-tools              redis-cli and redis-benchmark, which lookups are compared with
clang-19                 the compiler of the fuzz targets (scripts/fuzz) and of the build with AddressSanitizer
libclang-rt-19-dev       libFuzzer, and Clang's sanitizers
mawk                     what scripts/campaigns/real_targets.py compares tally count with
jq                       the same, of NDJSON
chromium                 the browser in which reports are tested
chromium-driver          ChromeDriver: takes the commands to the browser
python3-selenium         gives these commands, from Python
LIST
}

# Debian's own Python: `python3` on PATH may be another one, which cannot import Debian's packages.
# TALLY_PYTHON overrides it.
tally_python() { printf '%s\n' "${TALLY_PYTHON:-/usr/bin/python3}"; }

tally_say() { printf '%s\n' "$*" >&2; }

# Names, one a line, of the packages that are not installed.
tally_missing_packages() {
  local name
  while read -r name _; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
  done < <(tally_packages "$@")
}

# Prints what to put before a command so that it runs as root ("" or "sudo"); fails where there is no right to.
# sudo asks for a password only if there is somebody to ask.
tally_root_prefix() {
  if [ "$(id -u)" = 0 ]; then
    printf ''
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
    printf 'sudo'
  else
    return 1
  fi
}

# Installs what is missing; arguments as of tally_packages. Returns 2, after one line on stderr that says what to do, if that cannot be done; removes
# no package that is there.
tally_install() {
  local -a missing apt
  local prefix log
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    tally_say "tally: this is no Debian, so nothing is installed; CMake will name what it misses"
    return 0
  fi
  mapfile -t missing < <(tally_missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! prefix=$(tally_root_prefix); then
    tally_say "tally: no right to install packages here; as root, run: apt-get install ${missing[*]}"
    return 2
  fi
  tally_say "tally: installing ${missing[*]}"
  apt=(${prefix:+"$prefix"} env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
  log=$(mktemp -t tally-apt.XXXXXX)
  # A fresh machine has no lists of packages, and old lists name packages that the mirror no longer has: only then
  # are they fetched.
  if tally_apt_install >"$log" 2>&1 || { ! grep -q 'remove is disabled' "$log" && "${apt[@]}" update >>"$log" 2>&1 &&
    tally_apt_install >>"$log" 2>&1; }; then
    rm -f "$log"
    return 0
  fi
  if grep -q 'remove is disabled' "$log"; then
    tally_say "tally: installing ${missing[*]} would remove$(tally_would_remove); if that is right, run: apt-get install ${missing[*]}"
    rm -f "$log"
  else
    tally_say "tally: apt-get install ${missing[*]} failed: $(grep -m1 '^E:' "$log" || tail -n 1 "$log") (all of it: $log)"
  fi
  return 2
}
tally_apt_install() { "${apt[@]}" install --no-install-recommends --no-remove "${missing[@]}"; }
tally_would_remove() {
  LC_ALL=C apt-get -s install --no-install-recommends "${missing[@]}" 2>/dev/null | awk '$1 == "Remv" {printf " %s", $2}'
}

# Installs axe-core, which no Debian package has, in folder $1 by its lock file, where npm is on PATH; the output goes to file $2.
# Without it the tests of accessibility are skipped, or fail if TALLY_CI=1; one line on stderr says why it is not there.
tally_install_axe() {
  local folder=$1 log=$2 status=0 why
  # npm takes the old version away before it gets the new one: so only for another lock file.
  [ ! "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ] || return 0
  if ! command -v npm >/dev/null; then
    why="npm, which installs it, is not on PATH"
  else
    mkdir -p "$(dirname "$log")"
    # Without the option, npm waits for 70 s between its three tries.
    (cd "$folder" && timeout -k 5 60 npm ci --ignore-scripts --no-audit --no-fund --fetch-retry-mintimeout=1000) >"$log" 2>&1 || status=$?
    case $status in
      0) return 0 ;;
      124) why="npm ci took longer than 60 s" ;;
      *) why="npm ci failed: $(grep -m1 -E 'npm (ERR!|error)' "$log" || tail -n 1 "$log") (all of it: $log)" ;;
    esac
  fi
  tally_say "tally: without axe-core in $folder, accessibility is not tested: $why"
}

# How many compilers, or tests, may run at once: the CPUs this process may use, but one for each 1.5 GiB of memory at
# most, which is what the largest source needs under a sanitizer.
tally_jobs() {
  local cpus by_memory
  cpus=$(nproc)
  by_memory=$(awk '/^MemAvailable:/ {print int($2 / 1572864)}' /proc/meminfo)
  [ "${by_memory:-1}" -ge 1 ] || by_memory=1
  printf '%s\n' $((cpus < by_memory ? cpus : by_memory))
}

# Errors in the log of a build, on stderr.
tally_show_build_errors() { grep -E -A 8 'CMake Error|FAILED:|error:' "$1" | head -n 40 >&2 || tail -n 20 "$1" >&2; }

# Configures and builds preset $1, all of it or the targets named from $3 on; the output goes to file $2, and its end to stderr
# if the build fails.
tally_build() {
  local preset=$1 log=$2
  local -a targets=("${@:3}")
  mkdir -p "$(dirname "$log")"
  if ! cmake --preset "$preset" >"$log" 2>&1 ||
    ! cmake --build --preset "$preset" -j "$(tally_jobs)" ${targets:+--target "${targets[@]}"} >>"$log" 2>&1; then
    tally_show_build_errors "$log"
    tally_say "tally: the build of preset $preset failed (all of it: $log)"
    return 1
  fi
}
