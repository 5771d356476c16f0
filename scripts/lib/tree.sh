# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/tree.sh - the source tree: its files and its build folders. Sourced after common.sh.

# tree_git WORD...: git in the tree, whoever owns it; fails in a tree that is no clone, also where it
# lies in a clone of something else. What git would run for the owner, the caller of these scripts runs
# anyway.
tree_git() {
  env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE GIT_CEILING_DIRECTORIES="${KATA_ROOT%/*}" \
    git -C "$KATA_ROOT" -c safe.directory="$KATA_ROOT" "$@"
}

# tree_files PATTERN...: the project's files of these patterns, relative to the tree, each with a NUL
# behind it: those that git knows; of a tree that is no clone all but what is built. A * stands for
# slashes too.
tree_files() {
  local pattern tests=()
  if tree_git rev-parse 2>/dev/null; then
    tree_git ls-files -z -- "$@"
    return
  fi
  for pattern in "$@"; do tests+=(-o -path "./$pattern"); done
  (cd "$KATA_ROOT" && find . -path ./build -prune -o -type f \( "${tests[@]:1}" \) -printf '%P\0')
}

# configure PRESET: makes build/PRESET ready to be compiled in, again when the tree has been moved or
# copied since.
configure() {
  local build=$KATA_ROOT/build/$1 before=''
  mkdir -p "$build"
  [ ! -e "$build/CMakeCache.txt" ] ||
    before=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
  [ "$before" != "$KATA_ROOT" ] || [ ! -e "$build/build.ninja" ] || return 0
  if [ -n "$before" ] && [ "$before" != "$KATA_ROOT" ]; then
    say "$build was made for $before: making it again"
    rm -rf "$build"
    mkdir -p "$build"
  fi
  say "configuring ($1)"
  (cd "$KATA_ROOT" && quietly "$KATA_ROOT/build/configure-$1.log" cmake --preset "$1")
}
