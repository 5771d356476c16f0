# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/payload.sh - what an installation consists of, laid out as below a prefix.
# Sourced after common.sh. scripts/lib/place puts it where it belongs; the packages and the tar are
# made of the same tree.

payload_programs=(containerd-shim-kata-v2 kata-runtime kata-stand-in kata-factory kata-monitor)
payload_guest=(vmlinux.container kata-containers-initrd.img kernel.info)

# payload_is_built PRESET: whether nothing is missing.
payload_is_built() {
  local file
  for file in "${payload_programs[@]/#/build/$1/bin/}" "${payload_guest[@]/#/build/guest/}" \
    build/guest/kata-containers-iptables; do
    [ -e "$KATA_ROOT/$file" ] || return 1
  done
}

# make_payload PRESET DIR: copies what build/PRESET and build/guest have, and what comes from the
# source tree, into DIR, which it makes anew.
make_payload() {
  local build=$KATA_ROOT/build/$1 guest=$KATA_ROOT/build/guest dir=$2 file mode
  rm -rf "$dir"
  for file in "${payload_programs[@]}"; do install -D -m 755 "$build/bin/$file" "$dir/bin/$file"; done
  for file in "${payload_guest[@]}"; do
    install -D -m 644 "$guest/$file" "$dir/share/kata-containers/$file"
  done
  install -D -m 755 "$KATA_ROOT/guest-image/kata-guest-kernel" "$dir/bin/kata-guest-kernel"
  install -D -m 644 "$KATA_ROOT/guest-image/modules.list" "$dir/share/kata-containers/guest-modules.list"
  for file in "$guest"/kata-containers-iptables/*; do
    mode=644
    [[ $file != */ld.so && $file != */xtables-* ]] || mode=755
    install -D -m "$mode" "$file" "$dir/share/kata-containers/kata-containers-iptables/${file##*/}"
  done
  install -D -m 644 "$KATA_ROOT/src/host/config/configuration.toml" \
    "$dir/share/defaults/kata-containers/configuration.toml"
  # @BIN@ is for scripts/lib/place, which knows the prefix.
  for file in warm/kata-factory monitor/kata-monitor; do
    install -D -m 644 "$KATA_ROOT/src/host/$file.service" "$dir/lib/systemd/system/${file##*/}.service"
  done
  install -D -m 644 "$KATA_ROOT/deploy/grafana/kata-cpp.json" \
    "$dir/share/doc/kata-cpp/deploy/grafana/kata-cpp.json"

  # kata-bench brings what it is made of: its modules, private daemons and networks, and what fetches
  # runtimes.
  while IFS= read -r file; do
    mode=644
    [ ! -x "$KATA_ROOT/$file" ] || mode=755
    install -D -m "$mode" "$KATA_ROOT/$file" "$dir/lib/kata-bench/$file"
  done < <(cd "$KATA_ROOT" && find bench testbed scripts/lib/*.sh scripts/fetch-* -type f \
    ! -name '*.cc' ! -name '*.pyc' ! -name CMakeLists.txt)
  ln -s ../lib/kata-bench/bench/kata-bench "$dir/bin/kata-bench"

  while IFS= read -r file; do
    install -D -m 644 "$KATA_ROOT/$file" "$dir/share/doc/kata-cpp/$file"
  done < <(cd "$KATA_ROOT" && find README.md ARCHITECTURE.md SPECIFICATION.md NOTICE LICENSE docs -type f)
  # Man pages and completions, which the build generates.
  [ ! -d "$build/share" ] || cp -R "$build/share/." "$dir/share/"
  chmod -R u=rwX,go=rX "$dir"
}
