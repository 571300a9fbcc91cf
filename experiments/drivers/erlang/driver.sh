# SPDX-License-Identifier: MIT
# sh driver.sh BEAMS run …, version …, or nothing: the driver in Erlang, compiled into the folder BEAMS. A program
# on BEAM cannot become `shunt record`, and so this script does.
#
# +Bd: SIGINT ends it. +C multi_time_warp: the clock that timers and measurements share is not slowed down or
# sped up to follow the time of day.
beams=$1
shift
refuse() {
	echo "erlang: $1" >&2
	exit 2
}
if [ "$1" = run ]; then
	[ $# -ge 3 ] || refuse 'use: erlang run erlang WORKLOAD [key=value …] [--seed N] [--record FILE]'
	[ "${2%%:*}" = erlang ] || refuse "no backend \"$2\" in this driver; it is \"erlang\""
	case $3 in
	chunked_sum | yield | spawn_join | timers | ring | skynet | openloop) ;;
	*) refuse "no workload \"$3\" in this driver" ;;
	esac
	shift
	exec "${SHUNT_RECORDER:-shunt}" record "$@" -- sh "$0" "$beams"
fi
exec erl +Bd +C multi_time_warp -noshell -boot no_dot_erlang -pa "$beams" -run shunt_lines main "$@"
