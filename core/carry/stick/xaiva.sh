#!/bin/sh
# Installs xaiva from this medium, or lets the xaiva that is installed here read it:
#     sh /media/STICK/xaiva [--to DIR] [--trust SHA256:…] [arguments of xaiva]
# --to      the folder of the site (default: $XAIVA_HOME, else ~/xaiva)
# --trust   the fingerprint of the office's key, from paper, instead of a question
# It needs no network, no pip and no right to run programs on the medium.
set -eu
umask 022

self=$0
case "$self" in */*) ;; *) self=./$self ;; esac
medium=$(CDPATH='' cd -P -- "$(dirname -- "$self")" && pwd)
target=${XAIVA_HOME:-${HOME-}/xaiva}
trust=

# Names on a medium may hold control characters, which a terminal would obey.
say() { printf 'xaiva: %s\n' "$(printf '%s' "$*" | LC_ALL=C tr -d '\000-\010\013-\037\177')" >&2; }
refuse() { # what, why, remedy
    say "$1: $2"
    say "→ $3"
    exit 1
}
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$self" >&2 && exit 2; }

while [ $# -gt 0 ]; do
    case "$1" in
        --to) [ $# -gt 1 ] && [ -n "$2" ] || usage && target=$2 && shift 2 ;;
        --trust) [ $# -gt 1 ] && [ -n "$2" ] || usage && trust=$2 && shift 2 ;;
        --help | -h) usage ;;
        *) break ;;
    esac
done
case "$target" in /*) ;; *) target=$PWD/$target ;; esac
target=${target%/}

# Hands the medium to the installed console, then opens that console or runs the command of the arguments.
go_on() {
    if [ -n "$trust" ]; then
        "$target/xaiva" unpack "$medium" --trust "$trust" || exit $?
    else
        "$target/xaiva" unpack "$medium" || exit $?
    fi
    say_what_needs_root
    say "from now on, start it with: $target/xaiva"
    if [ $# -eq 0 ] && { [ ! -t 0 ] || [ ! -t 1 ]; }; then
        exit 0 # nobody looks at a screen
    fi
    exec "$target/xaiva" "$@"
}

say_what_needs_root() {
    [ "$(id -u)" != 0 ] && [ -z "${DOCKER_HOST-}" ] || return 0
    if [ ! -S /var/run/docker.sock ]; then
        say "no Docker engine runs here. Images need one, and only root can install and start it."
        say "→ xaiva doctor says how"
    elif [ ! -w /var/run/docker.sock ]; then
        say "the Docker engine belongs to root and the group docker, and you are neither. Images and containers fail."
        say "→ as root: usermod -aG docker $(id -un); then log in again"
    fi
}

# The newest shipment with a console.
find_shipment() {
    shipment=
    for folder in "$medium"/shipments/*; do
        [ ! -f "$folder/manifest.sig" ] || [ ! -f "$folder/console.list" ] || shipment=$folder
    done
    [ -n "$shipment" ] || refuse "$medium" "it has no complete shipment with a console" \
        "pack it again at the office, or start an installed console and type: xaiva unpack $medium"
}

check_tools() {
    command -v ssh-keygen >/dev/null || refuse "This machine has no ssh-keygen" \
        "without it nobody can tell who signed this medium" \
        "install it as root (Debian, Ubuntu: openssh-client; Fedora, RHEL: openssh; Alpine: openssh-keygen)"
    for tool in sha256sum tar; do
        command -v $tool >/dev/null || refuse "This machine has no $tool" \
            "the files of this medium cannot be checked and unpacked" "install it as root (sha256sum: coreutils)"
    done
}

check_target() {
    if [ -e "$target/xaiva" ] || [ -L "$target/xaiva" ]; then
        refuse "$target" "it has another xaiva, which was not installed from a medium" \
            "name another folder with --to DIR"
    fi
    [ -d "$target" ] || created=$target
    mkdir -p -- "$target/releases" || refuse "$target" "it cannot be created" "name a folder of your own with --to DIR"
    for left in "$target"/releases/.new-*; do
        kill -0 "${left##*-}" 2>/dev/null || rm -rf -- "$left" # of a killed run
    done
    new=$target/releases/.new-$$
    mkdir -- "$new" || refuse "$target/releases" "nothing can be written there" \
        "name a folder of your own with --to DIR"
    printf '#!/bin/sh\n' > "$new/run" && chmod +x "$new/run"
    [ -x "$new/run" ] || refuse "$target" "no program can be run there: its file system is mounted noexec" \
        "name a folder on another file system with --to DIR"
    rm -f -- "$new/run"
}

# Copies a file of the medium, at most so many bytes of it.
copy_file() { # from, to, bytes
    [ -f "$1" ] && [ ! -L "$1" ] || refuse "$1" "it is missing, or it is no file" "pack the medium again at the office"
    words=$(LC_ALL=C head -c "$3" 2>&1 > "$2" < "$1") && return 0
    case "$words" in
        *"No space left"*) refuse "$2" "there is no room for it" "make room on that disk, then start again" ;;
    esac
    refuse "$1" "it cannot be read: $words" "try another port, or another copy of the medium"
}

# Copies the signed text, and finds out whose signature it bears. What is checked from here on are the copies.
read_signature() {
    for name in manifest.json manifest.sig console.list; do
        copy_file "$shipment/$name" "$papers/$name" 8388608
    done
    set -- -Y check-novalidate -n carry@xaiva -s "$papers/manifest.sig"
    answer=$(LC_ALL=C ssh-keygen "$@" 2>&1 < "$papers/manifest.json") || {
        case "$answer" in
            *"illegal option"* | *"unknown option"* | *"Unsupported operation"*)
                refuse "ssh-keygen" "this one cannot check signatures; that of OpenSSH 8.2 or newer can" \
                    "install a newer OpenSSH as root"
                ;;
        esac
        refuse "$shipment/manifest.json" "it was changed after it was signed, or its signature was: $answer" \
            "do not use this medium; pack it again at the office"
    }
    fingerprint=$(printf '%s\n' "$answer" | sed -n 's/^Good .* key \(SHA256:[A-Za-z0-9+/]*\)$/\1/p')
    [ -n "$fingerprint" ] || refuse "ssh-keygen" "it answered in an unexpected way: $answer" \
        "report this together with the output of: ssh -V"
}

# People type a fingerprint as it stands on paper: in blocks, with or without its prefix.
confirm_fingerprint() {
    if [ -n "$trust" ]; then
        trust=$(printf '%s' "$trust" | tr -d ' \t\n')
        case "$trust" in [Ss][Hh][Aa]256:*) trust=${trust#*:} ;; esac
        trust=SHA256:$trust
        [ "$trust" = "$fingerprint" ] || refuse "The fingerprint of this medium's key is $fingerprint" \
            "it is not $trust, which you trust" "do not use this medium; ask the office who packed it"
        return 0
    fi
    blocks=$(printf '%s' "${fingerprint#*:}" | sed 's/..../& /g')
    printf '\n  This medium is signed with the key\n\n      %s\n\n      SHA256: %s\n\n' "$fingerprint" "$blocks" >&2
    printf '  Compare it with the fingerprint that you have from the office on paper, block by block.\n' >&2
    printf '  The owner of this key decides what runs on this machine.\n\n' >&2
    if [ ! -t 0 ]; then
        refuse "Nobody can compare the fingerprint" "there is no terminal to ask on" \
            "add: --trust and the fingerprint from paper"
    fi
    printf '  Are they the same? Type yes: ' >&2
    read -r reply || reply=
    [ "$reply" = yes ] || refuse "Nothing was installed" "the fingerprint was not confirmed" \
        "if it differs from paper, do not use this medium and ask the office"
    trust=$fingerprint
}

# The files of the console, each with the hash that the signed manifest vouches for, into $new.
copy_console() {
    in_documents='/^ "documents": {$/,/^ }/'
    of_the_list='/^  "console.list": {$/,/^  }/'
    listed=$(sed -n "$in_documents{$of_the_list"'s/^   "sha256": "\([0-9a-f]*\)".*/\1/p;}' "$papers/manifest.json")
    actual=$(sha256sum < "$papers/console.list")
    [ -n "$listed" ] && [ "$listed" = "${actual%% *}" ] || refuse "$shipment/console.list" \
        "its SHA-256 is not the one in the signed manifest" "do not use this medium; pack it again at the office"
    mkdir -- "$new/wheelhouse"
    : > "$papers/sums"
    total=0
    while read -r sum size path; do
        case "$path" in
            wheelhouse/*/*) unknown=$path ;;
            console.tar | python.tar | wheelhouse/*.whl) unknown= ;;
            *) unknown=$path ;;
        esac
        [ -z "$unknown" ] || refuse "$shipment/console.list" "it names $unknown, which this launcher does not know" \
            "start the launcher that lies on the same medium"
        total=$((total + size))
    done < "$papers/console.list"
    say "installing xaiva in $target; reading $((total / 1000000)) MB"
    while read -r sum size path; do
        copy_file "$(blob_path "$sum")" "$new/$path" "$size"
        printf '%s  %s\n' "$sum" "$path" >> "$papers/sums"
    done < "$papers/console.list"
    if ! (cd "$new" && LC_ALL=C sha256sum -c "$papers/sums" > "$papers/checked" 2>/dev/null); then
        path=$(sed -n 's/: FAILED.*//p' "$papers/checked" | head -n 1)
        [ -n "$path" ] || refuse "sha256sum" "it failed, so nothing is known of the files" "type: sha256sum --version"
        sum=$(sed -n "s|^\([0-9a-f]*\)  $path\$|\1|p" "$papers/sums")
        refuse "$path, $(blob_path "$sum")" "its bytes have changed: their SHA-256 is not its name" \
            "do not use this medium; pack it again at the office"
    fi
}

blob_path() { printf '%s\n' "$medium/blobs/sha256/${1%"${1#??}"}/$1"; }

# From here on the files are those that the owner of the key packed.
install_release() {
    version=$(sed -n 's/^ "xaiva": "\([0-9][A-Za-z0-9.+-]*\)".*/\1/p' "$papers/manifest.json")
    [ -n "$version" ] || refuse "$shipment/manifest.json" "it does not name the version of xaiva" \
        "start the launcher that lies on the same medium"
    release=$version-$(printf '%.12s' "$listed")
    tar -xf "$new/console.tar" -C "$new" || refuse "$new" "the console cannot be unpacked there" "see the lines above"
    rm -f -- "$new/console.tar"
    sync -f "$new" 2>/dev/null || sync
    rm -rf -- "$target/releases/$release" # of a run that did not finish
    mv -- "$new" "$target/releases/$release"
    new=$target/releases/$release
    sh "$new/xaiva" --setup || exit 1
    mkdir -p -- "$target/presets" "$target/artifacts" "$target/docker" "$target/.xaiva"
    cp -- "$new/core/carry/stick/site_xaiva.sh" "$target/.xaiva-new"
    chmod 755 "$target/.xaiva-new"
    printf '%s\n' "$release" > "$target/releases/.current-new"
    sync -f "$target" 2>/dev/null || sync
    mv -- "$target/releases/.current-new" "$target/releases/current"
    mv -- "$target/.xaiva-new" "$target/xaiva"
    new=
}

# A refusal leaves nothing that was not there.
clean_up() {
    rm -rf -- "$papers"
    [ -z "$new" ] || rm -rf -- "$new"
    [ -z "$created" ] || rmdir -- "$created/releases" "$created" 2>/dev/null || :
}

if [ -x "$target/xaiva" ] && [ -f "$target/releases/current" ]; then
    say "$target has a console already. It checks this medium before anything of it runs."
    go_on "$@"
fi
check_tools
find_shipment
papers=$(mktemp -d "${TMPDIR:-/tmp}/xaiva.XXXXXX")
new=
created=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
read_signature
confirm_fingerprint
check_target
copy_console
install_release
trap - EXIT INT HUP TERM
clean_up
go_on "$@"
