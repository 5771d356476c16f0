#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# podman-diff-takes-the-image.sh - podman diff NAME of a container is about an image whose last word NAME is.
#
# Software   Podman 4.3.1 (Debian 12: podman 4.3.1+ds1-8+deb12u1+b3), conmon 2.1.6
# Guess      a container's own name means the container, as with inspect, which prefers it; podman diff of a
#            container that is called as no image is in full is what changed in the container.
# Behaviour  an image of any registry and path that ends in /NAME comes first: its last layer is compared with the
#            one before, and the exit status is 0. Only podman container diff is about the container.
# Seen       "web" of an image example.invalid/team/web: podman diff web tells of the image's file, podman container
#            diff web of the container's; podman inspect web is of type container.
# In kata-cpp  tests/e2e/test_upper_disk.py names its images otherwise than its containers.
#
# Needs root and apt. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
[ -e /var/lib/containers ] || cache=/var/lib/containers/cache  # of its own, and no option moves it
trap 'rm -rf "$work"; [ -z "${cache-}" ] || { rm -rf "$cache"; rmdir "${cache%/*}"; }' EXIT
# shellcheck source=scripts/lib/pinned.sh
. "$root/scripts/lib/pinned.sh"

[ "$(id -u)" -eq 0 ] || cannot "root is needed"
podman=$(pinned_deb bookworm podman=4.3.1+ds1-8+deb12u1+b3) || exit
conmon=$(pinned_deb bookworm conmon=2.1.6+ds1-1) || exit

mkdir "$work/image" "$work/tmp"
echo 1 >"$work/image/of-the-image"
tar -C "$work/image" -cf "$work/image.tar" .
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
printf '%s\n' '[engine]' 'runtime = "true"' "conmon_path = [\"$conmon/usr/bin/conmon\"]" 'events_logger = "none"' \
  '[engine.runtimes]' 'true = ["/bin/true"]' '[network]' 'network_backend = "cni"' >"$work/containers.conf"

ask() {
  CONTAINERS_CONF=$work/containers.conf "$podman/usr/bin/podman" --root "$work/storage" --runroot "$work/run" \
    --tmpdir "$work/tmp" --network-config-dir "$work/networks" --storage-driver vfs "$@"
}

ask import --signature-policy "$work/policy.json" "$work/image.tar" example.invalid/team/web >/dev/null 2>&1 ||
  cannot "no image"
ask create --name web --network none example.invalid/team/web sleep 1 >/dev/null || cannot "no container"
folder=$(ask mount web)  # with the driver vfs nothing is mounted
echo 1 >"$folder/of-the-container"

said=$(ask diff web | sort)
own=$(ask container diff web | sort)
kind=$(ask inspect --format '{{.State.Status}}' web)
printf 'podman diff web: %s\npodman container diff web: %s\npodman inspect web: a container, %s\n' \
  "${said//$'\n'/, }" "${own//$'\n'/, }" "$kind"
[[ $said == *of-the-image* && $said != *of-the-container* && $own == *of-the-container* ]] || {
  printf 'changed: podman diff is about the container\n' >&2
  exit 1
}
