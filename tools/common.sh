# What ./run and ./test share: packages, configuring, building. Sourced by bash with `top` set to the source root.
# Everything here talks on stderr, so that the output of a program started afterwards is its own.

say() { printf 'penstock: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# packages GROUP... : the names that tools/packages lists for these groups.
packages() {
  local group name
  while read -r group name; do
    [[ " $* " != *" $group "* ]] || printf '%s\n' "$name"
  done < <(grep -v '^#' "$top/tools/packages")
}

# missing_packages NAME... : those that are not installed. Reads dpkg's own database only: no network, no lock.
missing_packages() {
  local have name
  have=$'\n'$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)$'\n'
  for name in "$@"; do
    [[ $have == *$'\n'"$name installed"$'\n'* ]] || printf '%s\n' "$name"
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# Installing a PostgreSQL server on Debian makes a cluster and starts it. The tests bring up clusters of their own, and a
# machine that asked for a test run should not find a database server listening afterwards. Debian has a switch for
# exactly this; it is set only where the server's packages have never been, so no one's own setting is touched.
keep_postgres_quiet() {
  local conf=/etc/postgresql-common/createcluster.conf
  if [ ! -e "$conf" ] && [ ! -d /usr/share/postgresql-common ]; then
    say "writing $conf, so that installing PostgreSQL creates and starts no server"
    as_root mkdir -p "${conf%/*}"
    printf '# Written by %s: the tests make their own clusters.\ncreate_main_cluster = false\n' "penstock's ./test" |
      as_root tee "$conf" >/dev/null
  fi
}

# need GROUP... : installs what is missing, after saying what. With everything there it costs one dpkg-query.
need() {
  local names want log=$top/build/apt.log
  mapfile -t names < <(packages "$@")
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [ -e "$top/build/.no-apt" ] || say "this is not a Debian system; these packages, or what matches them, must be there:" "${names[@]}"
    mkdir -p "$top/build" && touch "$top/build/.no-apt"
    return 0
  fi
  mapfile -t want < <(missing_packages "${names[@]}")
  [ ${#want[@]} -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    die "these packages are missing, and installing them needs root or sudo: ${want[*]}"
  fi
  mkdir -p "$top/build"
  say "installing with apt (log: build/apt.log): ${want[*]}"
  : >"$log"
  # An update that fails is not the end: the lists at hand may do.
  apt update >>"$log" 2>&1 || say "apt-get update failed; trying with the package lists at hand"
  check_removals "${want[@]}"
  if [[ " ${want[*]} " == *" postgresql-"* ]]; then keep_postgres_quiet; fi
  if ! apt install --no-install-recommends "${want[@]}" >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt could not install: ${want[*]}"
  fi
}

# Debian's default Boost (1.74) conflicts with 1.81, header package by header package, so apt takes the one out to put the
# other in. That much is said and done; anything beyond it is left to the machine's owner.
check_removals() {
  local plan gone boost='' other='' name
  plan=$(apt install --no-install-recommends -s "$@" 2>/dev/null) || return 0  # the real run reports the error
  mapfile -t gone < <(sed -n 's/^Remv \([^ ]*\).*/\1/p' <<<"$plan")
  for name in "${gone[@]}"; do
    case $name in
      libboost*-dev) boost+=" $name" ;;
      *) other+=" $name" ;;
    esac
  done
  [ -z "$other" ] || die "apt would remove$other$boost to install $*; resolve that by hand and run again"
  if [ -n "$boost" ]; then
    [ -z "${PENSTOCK_KEEP_BOOST:-}" ] || die "PENSTOCK_KEEP_BOOST is set, and Boost 1.81 cannot be installed beside$boost"
    say "WARNING: Boost 1.81 conflicts with the default Boost headers; apt removes them:$boost"
    say "WARNING: 'apt-get install libboost-dev' puts the default back (and takes 1.81 out). PENSTOCK_KEEP_BOOST=1 stops here instead."
  fi
}

# One compiler job needs up to 1.5 GB (the WebSocket and test sources), so memory bounds them as well as cores do.
build_jobs() {
  local cores memory
  cores=$(nproc 2>/dev/null || echo 2)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo 2>/dev/null || true)
  [ "${memory:-$cores}" -ge "$cores" ] || cores=$memory
  [ "$cores" -ge 1 ] || cores=1
  echo "$cores"
}

# Copies ninja's output to the log and shows how far it is: in place on a terminal, now and then elsewhere.
# Shows nothing when there is nothing to do.
show_progress() {
  local preset=$1 line shown=-1000 step='^\[([0-9]+/[0-9]+)\]' tty=0
  [ ! -t 2 ] || tty=1
  while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line =~ $step ]] || continue
    if [ $tty = 1 ]; then
      printf '\rpenstock: building %s %s ' "$preset" "${BASH_REMATCH[1]}" >&2
      shown=$SECONDS
    elif [ $((SECONDS - shown)) -ge 30 ]; then
      say "building $preset ${BASH_REMATCH[1]} (log: build/$preset/build.log)"
      shown=$SECONDS
    fi
  done
  if [ $tty = 1 ] && [ $shown -ge 0 ]; then printf '\n' >&2; fi
}

# build PRESET TARGET... : configures build/PRESET when that is needed and brings the targets up to date.
build() {
  local preset=$1 dir=$top/build/$1 log=$top/build/$1/build.log
  shift
  mkdir -p "$dir"
  (
    # Two builds of one preset at once would fight over its files. The lock goes with this subshell.
    flock 9
    if [ ! -f "$dir/build.ninja" ] || [ "$top/CMakePresets.json" -nt "$dir/build.ninja" ]; then
      # --fresh: a cache from another place or another compiler must not decide anything.
      if ! (cd "$top" && cmake --fresh --preset "$preset") >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "configuring $preset failed (log: build/$preset/build.log)"
      fi
    fi
    if ! cmake --build "$dir" -j "$(build_jobs)" --target "$@" 2>&1 9>&- | show_progress "$preset" >"$log"; then
      grep -m 1 -A 40 -E '^FAILED|CMake Error|ninja: error' "$log" >&2 || tail -n 40 "$log" >&2
      die "building $preset failed (log: build/$preset/build.log)"
    fi
  ) 9>"$dir/.lock"
}
