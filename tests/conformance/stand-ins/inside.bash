# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Read after the helpers of runc's suite, for a runtime whose containers are virtual machines. The
# suite looks at cgroups of containers on the host; these are in the guest, and of version 2.

init_cgroup_paths() {
  # shellcheck disable=SC2034  # the suite's; the first before runc 1.5
  CGROUP_UNIFIED=yes CGROUP_V2=yes CGROUP_BASE_PATH=/sys/fs/cgroup
  # shellcheck disable=SC2034
  CGROUP_SUBSYSTEMS="cpuset cpu io memory hugetlb pids devices freezer"
}

# The file of the test's last container, as it sees it itself.
get_cgroup_value() {
  local container
  container=$(__runc list -q | tail -n 1)
  # With a limit of one process there is no room for another one that looks.
  __runc exec "$container" cat "/sys/fs/cgroup/$1" 2>/dev/null ||
    __runc events --stats "$container" | jq ".data.${1%.max}.limit"
}

# What the guest's control groups have, whatever those of the host do.
eval "of_the_suite_$(declare -f requires)"
requires() {
  local each
  for each in "$@"; do
    case $each in
      cgroups_swap | cgroups_cpu_idle | cgroups_cpu_burst) ;;
      *) of_the_suite_requires "$each" ;;
    esac
  done
}

# Without hardware virtualization a machine is ten times as slow as its host.
eval "of_the_suite_$(declare -f retry)"
retry() {
  local attempts=$(($1 * 5))
  shift
  of_the_suite_retry "$attempts" "$@"
}
