#!/bin/sh
# Installs packages of a preset's artifacts on this machine, without a network. It needs root:
#     sudo sh install_debs.sh ~/xaiva/artifacts/PRESET PACKAGE…
# apt asks before it changes anything, and checks each file against the preset's lock.
set -eu

refuse() { # what, why, remedy
    printf 'xaiva: %s: %s\nxaiva: → %s\n' "$1" "$2" "$3" >&2
    exit 1
}

[ $# -ge 2 ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
[ -f "$1/debs/Packages" ] || refuse "$1" "it has no debs/Packages" "name the artifacts of a preset with debs"
command -v apt-get >/dev/null || refuse "This machine has no apt-get" "its packages are not those of Debian" \
    "take a preset for nothing but containers, and packages of this distribution for the machine"
[ "$(id -u)" = 0 ] || refuse "Packages of the system" "only root may install them" "start it with sudo"
debs=$(CDPATH='' cd -P -- "$1/debs" && pwd)
shift

# Lists and sources of its own: those of the machine are not read, and stay as they are.
own=$(mktemp -d)
trap 'rm -rf -- "$own"' EXIT
mkdir -p "$own/lists/partial"
printf 'deb [trusted=yes] file:%s ./\n' "$(printf '%s' "$debs" | sed 's/%/%25/g; s/ /%20/g')" > "$own/sources.list"
apt() {
    apt-get -o Dir::Etc::SourceList="$own/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$own/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root "$@"
}
apt update -qq
apt install --no-install-recommends "$@"
