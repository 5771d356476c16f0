# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/compile.sh - the C++ build with its progress. Sourced after common.sh
# and tree.sh.

# Copies what ninja prints, a line a step, as a line every ten seconds: what is done and what is left.
compile_progress() {
  local line last=$SECONDS begin=$SECONDS done_steps all_steps
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] && ((SECONDS - last >= 10)) || continue
    last=$SECONDS done_steps=${BASH_REMATCH[1]} all_steps=${BASH_REMATCH[2]}
    say "compiling: $done_steps of $all_steps steps, $((all_steps - done_steps)) left," \
      "$((SECONDS - begin)) s so far"
  done
}

# compile PRESET [TARGET...]: brings the targets, or all, up to date. A terminal sees ninja's own line
# that moves; a log gets a line now and then. All that was printed is in build/compile-PRESET.log.
compile() {
  local preset=$1 log=$KATA_ROOT/build/compile-$1.log build
  shift
  configure "$preset" || return
  build=(cmake --build "$KATA_ROOT/build/$preset")
  [ $# -eq 0 ] || build+=(--target "$@")
  say "compiling ($preset), log in ${log#"$KATA_ROOT"/}"
  if [ -t 2 ]; then
    NINJA_STATUS='[%f/%t %p, %e s] ' "${build[@]}" >&2
  elif ! "${build[@]}" 2>&1 | tee "$log" | compile_progress; then
    # ninja goes on with what runs already: the reason is where it says so, not at the end.
    grep -nE -A 12 '^FAILED:|error:' "$log" | head -n 60 >&2 || tail -n 20 "$log" >&2
    say "compiling failed; the whole log is $log"
    return 1
  fi
}
