# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/debs.sh - single Debian packages of any suite, unpacked beside the system.
# Sourced after common.sh. The packages that dpkg has installed stay as they are: apt runs with
# lists, cache and status of its own, and the mirror's address, its key and any proxy come from the
# machine's own apt configuration.
#
# Cache: $KATA_CACHE/debs/<suite>/<package>_<version>/ and a link <package> to the one in use.
# KATA_DEBS_REFRESH=1 asks the mirror again even when a package is already there.

# Prints the address of the mirror that serves this Debian release's main archive.
debian_mirror() {
  local codename
  # shellcheck disable=SC1091  # the system's own file
  codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format '$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v suite="$codename" '
      ($1 == suite || $2 == suite) && $3 == "main" && !uri { uri = $4 }
      END { if (!uri) exit 1; print uri }'
}

# Makes the private apt configuration for SUITE below DIR and prints its file's path.
private_apt() {
  local suite=$1 dir=$2 uri key=/usr/share/keyrings/debian-archive-keyring.gpg
  uri=$(debian_mirror) ||
    die "apt knows no mirror for this release; add one to /etc/apt/sources.list"
  mkdir -p "$dir"/{lists/partial,cache/archives/partial,empty,sources.d}
  : >"$dir/status"
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
    [ ! -e "$key" ] || printf 'Signed-By: %s\n' "$key"
  } >"$dir/sources.d/only.sources"
  cat >"$dir/apt.conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$dir/sources.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$dir/empty";
Dir::State "$dir";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
  printf '%s' "$dir/apt.conf"
}

# update_private_apt DIR WHAT: reads the list that private_apt has configured, where it is not of today.
update_private_apt() {
  local updated=$1/updated
  if [ ! -e "$updated" ] || [ "${KATA_DEBS_REFRESH:-0}" = 1 ] || [ -n "$(find "$updated" -mmin +720)" ]; then
    say "apt: reading $2"
    quietly "$1/update.log" apt-get update -q
    touch "$updated"
  fi
}

# unpack_deb SUITE PACKAGE: prints the folder that holds PACKAGE's candidate in SUITE, unpacked.
unpack_deb() {
  local suite=$1 package=$2 home="$KATA_CACHE/debs/$1" conf version folder
  if [ -d "$home/$package/" ] && [ "${KATA_DEBS_REFRESH:-0}" != 1 ]; then
    readlink -f "$home/$package"
    return
  fi
  mkdir -p "$home"
  (
    flock 9
    if [ -d "$home/$package/" ] && [ "${KATA_DEBS_REFRESH:-0}" != 1 ]; then exit 0; fi
    set -e
    conf=$(private_apt "$suite" "$home/.apt")
    export APT_CONFIG=$conf
    update_private_apt "$home/.apt" "the package list of $suite"
    version=$(apt-cache policy "$package" | awk '$1 == "Candidate:" { print $2 }')
    if [ -z "$version" ] || [ "$version" = '(none)' ]; then
      die "$suite has no package \"$package\""
    fi
    folder="$home/${package}_${version//[:~]/_}"
    if [ ! -d "$folder" ]; then
      say "apt: $package $version from $suite"
      rm -rf "$home/.apt/download" "$folder.part"
      mkdir -p "$home/.apt/download"
      (cd "$home/.apt/download" && quietly "$home/.apt/download.log" apt-get download -q "$package")
      dpkg-deb -x "$home/.apt/download/"*.deb "$folder.part"
      rm -rf "$home/.apt/download"
      mv "$folder.part" "$folder"
    fi
    ln -sfn "${folder##*/}" "$home/$package"
  ) 9>"$home/.lock"
  [ -d "$home/$package/" ] || return 1
  readlink -f "$home/$package"
}
