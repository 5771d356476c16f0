# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Read after the helpers of runc's suite, for a runtime whose containers are virtual machines. The
# suite looks at cgroups of containers on the host; these are in the guest, and of version 2.

init_cgroup_paths() {
  # shellcheck disable=SC2034  # the suite's
  CGROUP_UNIFIED=yes CGROUP_BASE_PATH=/sys/fs/cgroup
  # shellcheck disable=SC2034
  CGROUP_SUBSYSTEMS="cpuset cpu io memory hugetlb pids devices freezer"
}

# The file of the test's last container, as it sees it itself.
get_cgroup_value() {
  __runc exec "$(__runc list -q | tail -n 1)" cat "/sys/fs/cgroup/$1"
}

# Without hardware virtualization a machine is ten times as slow as its host.
eval "of_the_suite_$(declare -f retry)"
retry() {
  local attempts=$(($1 * 5))
  shift
  of_the_suite_retry "$attempts" "$@"
}
