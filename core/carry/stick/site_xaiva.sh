#!/bin/sh
# Runs the console that is installed in this folder, on the site in this folder:  ./xaiva [arguments]
set -eu
self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self") # a link in ~/bin
here=$(CDPATH='' cd -P -- "$(dirname -- "$self")" && pwd)
read -r release < "$here/releases/current"
case "${1-}" in
    --site | --site=* | --setup | demo) ;; # the demo makes a site of its own
    *) set -- --site "$here" "$@" ;;
esac
exec "$here/releases/$release/xaiva" "$@"
