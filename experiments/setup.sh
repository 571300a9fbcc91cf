# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What quickstart and selftest share: finding the tree, talking, installing what
# packages.txt lists, and building a preset. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DEBIAN_FRONTEND=noninteractive

# Colour and in-place progress only on a terminal, and not where NO_COLOR asks for none.
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then ON_TERMINAL=1; else ON_TERMINAL=0; fi
if [ $ON_TERMINAL = 1 ] && [ -z "${NO_COLOR:-}" ]; then
	BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
	BOLD='' RED='' GREEN='' YELLOW='' PLAIN=''
fi

exec 3>&1           # where it says that it is alive, also where a part's output is kept for later
TELL_EVERY_S=60     # without a terminal

say() { printf '%s\n' "$*"; }
heading() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
warn() { printf '%s%s%s\n' "$YELLOW" "$*" "$PLAIN" >&2; }
die() {
	printf '%s%s%s\n' "$RED" "$*" "$PLAIN" >&2
	exit 1
}

# The packages of some groups: names, one a line, in the order of the file.
packages_of() {
	local group
	for group in "$@"; do
		awk -v group="$group" '!/^#/ && $2 == group { print $1 }' "$ROOT/experiments/packages.txt"
	done | awk '!seen[$0]++'
}

purpose_of() {
	awk -v name="$1" '!/^#/ && $1 == name { $1 = $2 = ""; sub(/^ +/, ""); print; exit }' \
		"$ROOT/experiments/packages.txt"
}

# A program of that name from elsewhere will do: NodeSource's nodejs brings an npm, and Debian's
# cannot be installed beside it.
is_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ||
		command -v "$1" >/dev/null
}

# Of the packages named, those that are not installed.
missing_of() {
	local name
	for name in "$@"; do is_installed "$name" || say "$name"; done
}

# How apt can be run here: "" as root, a sudo command, or failure when there is no right to.
apt_prefix() {
	if [ "$(id -u)" = 0 ]; then
		say ""
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		say "sudo -n"
	elif command -v sudo >/dev/null && [ -t 0 ] && [ -z "${CI:-}" ]; then
		say "sudo"
	else
		return 1
	fi
}

run_apt() { # prefix, log, apt-get arguments…
	local prefix=$1 log=$2
	shift 2
	# shellcheck disable=SC2086
	$prefix env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=1 \
		-o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

# Install what these groups lack. Says first what it is about to do; never fails: whoever needs a
# package that could not be had says so later.
install_groups() {
	local -a missing
	local name prefix log="$ROOT/build/logs/apt.log"

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		warn "This is no Debian: nothing is installed. experiments/packages.txt lists what is needed."
		return 0
	fi
	# shellcheck disable=SC2046
	mapfile -t missing < <(missing_of $(packages_of "$@"))
	if [ ${#missing[@]} = 0 ]; then
		say "Packages: all of them are here."
		return 0
	fi
	if ! prefix=$(apt_prefix); then
		warn "Packages: ${#missing[@]} are missing, and there is no right to install them here:"
		for name in "${missing[@]}"; do warn "$(printf '  %-24s %s' "$name" "$(purpose_of "$name")")"; done
		warn "To install them: apt-get install --no-install-recommends ${missing[*]}"
		return 0
	fi
	say "Packages: about to install ${#missing[@]} with ${prefix:+$prefix }apt-get:"
	for name in "${missing[@]}"; do printf '  %-24s %s\n' "$name" "$(purpose_of "$name")"; done
	mkdir -p "$ROOT/build/logs"
	: >"$log"
	if ! run_apt "$prefix" "$log" install -y --no-install-recommends "${missing[@]}"; then
		run_apt "$prefix" "$log" update || true
		if ! run_apt "$prefix" "$log" install -y --no-install-recommends "${missing[@]}"; then
			# One that cannot be had must not keep back the others.
			for name in "${missing[@]}"; do
				run_apt "$prefix" "$log" install -y --no-install-recommends "$name" || true
			done
		fi
	fi
	mapfile -t missing < <(missing_of "${missing[@]}")
	if [ ${#missing[@]} != 0 ]; then
		warn "Packages: could not be installed (offline?): ${missing[*]}"
		warn "  what apt said: build/logs/apt.log. Going on with what can be built."
	fi
}

# The packages of the group npm, into build/npm, where the tests look for them. Never fails, as above.
install_npm() {
	local name log="$ROOT/build/logs/npm.log"
	local -a missing=()
	command -v npm >/dev/null || return 0
	for name in $(packages_of npm); do
		[ -d "$ROOT/build/npm/node_modules/${name%@*}" ] || missing+=("$name")
	done
	[ ${#missing[@]} != 0 ] || return 0
	say "npm: about to install ${missing[*]} in build/npm"
	mkdir -p "$ROOT/build/logs" "$ROOT/build/npm"
	npm install --prefix "$ROOT/build/npm" --ignore-scripts --no-audit --no-fund "${missing[@]}" \
		</dev/null >"$log" 2>&1 ||
		warn "npm: could not install ${missing[*]} (offline?); what it said: build/logs/npm.log"
}

end_of() { tail -n 1 "$1" 2>/dev/null | tr -cd '[:print:]' | cut -c 1-74; }
nap() { sleep 1 >/dev/null 3>&-; }     # holds no pipe open that somebody reads to its end

# Now and then how far a command is.
tell_alive() { # its log
	local start=$SECONDS next=$TELL_EVERY_S
	while nap; do
		[ $((SECONDS - start)) -ge "$next" ] || continue
		next=$((next + TELL_EVERY_S))
		say "  $(basename "$1" .log), $((SECONDS - start)) s: $(end_of "$1")" >&3
	done
}

# Run a command with its output in a log. On a terminal the log's last line is shown as it runs.
logged() { # log, command…
	local log=$1 watcher rc=0
	shift
	mkdir -p "$(dirname "$log")"
	if [ $ON_TERMINAL = 1 ]; then
		while sleep 0.3; do printf '\r\e[K  %s' "$(end_of "$log")"; done &
	else
		tell_alive "$log" &
	fi
	watcher=$!
	"$@" </dev/null >>"$log" 2>&1 3>&- || rc=$?
	kill $watcher 2>/dev/null
	wait $watcher 2>/dev/null
	[ $ON_TERMINAL = 0 ] || printf '\r\e[K'
	return $rc
}

show_end_of() { # log
	printf '%s\n' "--- the end of ${1#"$ROOT"/}:" >&2
	tail -n "${2:-30}" "$1" | cut -c 1-300 >&2
	printf '%s\n' "---" >&2
}

# Folders of the tree that must be there and take new files.
require_writable() { # folder within the tree…
	local folder draft why
	for folder in "$@"; do
		why=$({ mkdir -p "$ROOT/$folder" && draft=$(mktemp "$ROOT/$folder/.draft.XXXXXX") &&
			rm -f "$draft"; } 2>&1) && continue
		warn "$why"
		die "Cannot write to $folder of $ROOT as $(id -un 2>/dev/null || id -u): make it writable or make room, or use a clone of your own."
	done
}

# What a build cannot do without, with the package of each.
require_build_tools() {
	local absent=''
	command -v cmake >/dev/null || absent="$absent cmake"
	command -v "${CC:-cc}" >/dev/null || absent="$absent gcc libc6-dev"
	command -v ninja >/dev/null || command -v make >/dev/null || absent="$absent ninja-build"
	[ -z "$absent" ] || die "Cannot build without:$absent (apt-get install$absent)"
}

# The generator for a build folder: the one it was made with, else $CMAKE_GENERATOR, else Ninja where
# it is present.
generator_for() { # build folder
	if [ -f "$1/CMakeCache.txt" ]; then
		sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$1/CMakeCache.txt"
	elif [ -n "${CMAKE_GENERATOR:-}" ]; then
		say "$CMAKE_GENERATOR"
	elif command -v ninja >/dev/null; then
		say Ninja
	else
		say 'Unix Makefiles'
	fi
}

# Configure and build one preset, of which $BUILD_TARGET or everything; extra arguments go to the
# configure step. Returns 1 on failure.
build_preset() { # preset, log, configure arguments…
	local preset=$1 log=$2 dir="$ROOT/build/$1"
	shift 2
	mkdir -p "$(dirname "$log")"
	: >"$log"
	# A build folder that came with a copied tree belongs to the other tree.
	if [ -f "$dir/CMakeCache.txt" ] &&
		! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT" "$dir/CMakeCache.txt"; then
		rm -rf "${ROOT:?}/build/$preset"
	fi
	(
		cd "$ROOT" || exit 1
		CMAKE_GENERATOR=$(generator_for "$dir")
		export CMAKE_GENERATOR
		logged "$log" cmake --preset "$preset" "$@" && logged "$log" cmake --build --preset "$preset" \
			${BUILD_TARGET:+--target "$BUILD_TARGET"}
	) || {
		show_end_of "$log" 40
		! grep -qE 'No space left on device|Disk quota exceeded' "$log" ||
			warn "The disk is full: make room and run this again; what is built already is kept."
		return 1
	}
}

# What configure said about absent libraries and plug-ins.
show_absent() { # log
	sed -n '/^-- shunt [0-9]/,$p' "$1" | sed -n 's/^--   \(.*absent.*\)/  \1/p'
}
