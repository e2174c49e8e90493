#!/bin/sh
# Installs maand for one user: downloads a release, verifies it, and puts one file into a folder.
#
#   sh install.sh [--version X.Y.Z] [--to DIR] [--require-signature]
#
#   --version X.Y.Z      another version than the one that this script came with
#   --to DIR             where to put it; default ~/.local/bin
#   --require-signature  install nothing whose signature cannot be checked (needs minisign)
#
# Nothing is unpacked or run before its checksum is found in SHA256SUMS, and the signature of SHA256SUMS is checked first
# where minisign is installed. Root is not needed, and whatever goes wrong, nothing is left behind.
#
#   MAAND_INSTALL_URL    where the files of one release are: an https address, or a folder (begins with /), for a copy of
#                        your own; default: the page of releases that this script came from
#   MAAND_INSTALL_KEY    the public key of minisign that must have signed them; default: the one in this script
{ # Read as a whole before any of it is run: cut off anywhere, this script is a syntax error.
set -eu

# Filled in by packaging/release for each release.
releases=''
own_version=''
public_key=''

# What the programs are built for; see packaging/build.
oldest_glibc=2.17

usage() {
  cat <<'HELP'
Usage: install.sh [--version X.Y.Z] [--to DIR] [--require-signature]

Downloads a release of maand, verifies it, and puts it into a folder (default: ~/.local/bin).

  --version X.Y.Z      another version than the one that this script came with
  --to DIR             the folder
  --require-signature  install nothing whose signature cannot be checked (needs minisign)

  MAAND_INSTALL_URL    where the files of one release are: an https address, or a folder
  MAAND_INSTALL_KEY    the public key that must have signed them
HELP
}

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Set before anything is made that has to be removed.
work='' staged='' made='' finished=no
clean_up() {
  status=$?
  trap '' HUP INT TERM
  if [ -n "$work" ]; then rm -rf "$work"; fi
  if [ -n "$staged" ]; then rm -f "$staged"; fi
  if [ -n "$made" ] && [ "$finished" = no ]; then
    # Only what is empty, from the innermost on; a folder that has got something else since stays.
    printf '%s' "$made" | while IFS= read -r folder; do rmdir "$folder" 2>/dev/null || :; done
  fi
  exit "$status"
}

# Which builds run here, the best one first: $targets.
choose_targets() {
  [ "$(uname -s)" = Linux ] || die "there is no maand for $(uname -s): it runs on Linux"
  machine=$(uname -m)
  case $machine in
  x86_64 | amd64) arch=x86_64 ;;
  aarch64 | arm64) arch=aarch64 ;;
  *) die "there is no maand for this processor ($machine), only for x86_64 and aarch64; build it from source: cargo install" ;;
  esac
  if has getconf && [ "$(getconf LONG_BIT 2>/dev/null || echo 64)" = 32 ]; then
    die "this is a 32-bit system on a 64-bit processor ($machine), for which there is no maand; build it from source: cargo install"
  fi
  targets="$arch-unknown-linux-gnu $arch-unknown-linux-musl"
  if glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null); then
    glibc=${glibc##* }
    older=$(printf '%s\n%s\n' "$glibc" "$oldest_glibc" | sort -t. -k1,1n -k2,2n | head -n1)
    if [ "$older" != "$oldest_glibc" ]; then targets="$arch-unknown-linux-musl"; fi
  elif ls /lib/ld-musl-* >/dev/null 2>&1; then
    targets="$arch-unknown-linux-musl"
  fi
}

choose_downloader() {
  case $url in
  *@*) die "no user name in an address, please: $url" ;;
  /*) downloader=copy; return ;;
  https://*) scheme=https ;;
  # For trying out, with a server of one's own on this machine.
  http://127.0.0.1[:/]* | http://localhost[:/]*) scheme=http ;;
  *) die "only https addresses, or a folder that begins with /: $url" ;;
  esac
  if has curl; then
    downloader=curl
  elif has wget && wget --version 2>/dev/null | grep -q '^GNU Wget'; then
    downloader=wget
  elif has wget; then
    die "this wget does not check certificates; install curl, or GNU wget"
  else
    die "neither curl nor wget is installed; install one of them"
  fi
}

# fetch FILE: into $work.
fetch() {
  case $downloader in
  copy)
    cp "$url/$1" "$work/$1" || die "cannot read $url/$1" ;;
  curl)
    curl --fail --silent --show-error --location --proto "=$scheme" --proto-redir "=$scheme" --connect-timeout 30 \
      --speed-limit 1 --speed-time 60 --max-filesize 268435456 --output "$work/$1" "$url/$1" ||
      die "cannot download $url/$1" ;;
  wget)
    wget --no-verbose --tries=3 --timeout=60 --output-document="$work/$1" "$url/$1" >"$work/wget.log" 2>&1 || {
      cat "$work/wget.log" >&2
      die "cannot download $url/$1"
    } ;;
  esac
}

# Whether SHA256SUMS is by whom it should be: $signature says it in words.
check_signature() {
  if [ -z "$public_key" ]; then
    unchecked="this script knows no public key; set MAAND_INSTALL_KEY"
  elif ! has minisign; then
    unchecked="minisign is not installed"
  else
    fetch SHA256SUMS.minisig
    minisign -Vm "$work/SHA256SUMS" -x "$work/SHA256SUMS.minisig" -P "$public_key" >/dev/null ||
      die "the signature of $url/SHA256SUMS is wrong: nothing of it was installed"
    signature="signature is right (key $public_key)"
    return
  fi
  [ "$require" = no ] || die "the signature cannot be checked: $unchecked"
  signature="signature NOT checked: $unchecked"
}

# Finds in SHA256SUMS what to install: $version, $name and $sum.
choose_file() {
  for target in $targets; do
    line=$(awk -v version="$version" -v target="$target" '
      { name = $2; sub(/^\*/, "", name) }
      version != "" && name == "maand-" version "-" target ".tar.gz" { print $1, name }
      version == "" && name ~ "^maand-[0-9][0-9A-Za-z.+-]*-" target "\\.tar\\.gz$" { print $1, name }
    ' "$work/SHA256SUMS")
    [ -z "$line" ] || break
  done
  case $line in
  '') die "there is no maand ${version:+$version }for $targets in $url/SHA256SUMS" ;;
  *'
'*) die "there are several versions in $url/SHA256SUMS: choose one with --version" ;;
  esac
  sum=${line%% *} name=${line#* }
  version=${name#maand-} version=${version%-"$target".tar.gz}
  case $sum in
  *[!0-9a-f]*) die "$url/SHA256SUMS is no list of checksums" ;;
  esac
  [ ${#sum} = 64 ] || die "$url/SHA256SUMS is no list of checksums"
}

# Makes the folder and remembers what was not there: $made, from the innermost on.
make_folder() {
  folder=$to missing=''
  while [ ! -d "$folder" ]; do
    if [ -e "$folder" ] || [ -L "$folder" ]; then die "$folder is no folder; choose another one with --to"; fi
    missing="$missing$folder
"
    folder=$(dirname "$folder")
  done
  made=$missing
  mkdir -p "$to" || die "cannot make the folder $to; choose another one with --to"
}

# What stands there already may be another program of this name.
check_old() {
  [ ! -d "$to/maand" ] || die "$to/maand is a folder; choose another one with --to"
  if [ -e "$to/maand" ] || [ -L "$to/maand" ]; then
    case $("$to/maand" --version 2>/dev/null </dev/null || :) in
    'maand '[0-9]*.[0-9]*.[0-9]*) ;;
    *) die "$to/maand is another program; choose another folder with --to, or remove it first" ;;
    esac
  fi
}

main() {
  version=$own_version to='' require=no
  while [ $# -gt 0 ]; do
    case $1 in
    --version=* | --to=*) option=${1%%=*} value=${1#*=} ;;
    --version | --to)
      [ $# -gt 1 ] || die "$1 needs a value"
      option=$1 value=$2
      shift ;;
    --require-signature) option=$1 value=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    [ -n "$value" ] || die "$option needs a value"
    case $option in
    --version) version=${value#v} ;;
    --to) to=$value ;;
    --require-signature) require=yes ;;
    esac
    shift
  done
  case $version in
  *[!0-9A-Za-z.+-]*) die "no version: $version" ;;
  esac
  if [ -z "$to" ]; then
    [ -n "${HOME:-}" ] || die "HOME is not set: choose a folder with --to"
    to=$HOME/.local/bin
  fi
  case $to in
  /*) ;;
  *) to=$(pwd)/$to ;;
  esac
  public_key=${MAAND_INSTALL_KEY:-$public_key}
  url=${MAAND_INSTALL_URL:-}
  if [ -z "$url" ]; then
    [ -n "$releases" ] || die "this script is of no release: set MAAND_INSTALL_URL to where the files of one are"
    url=$releases/download/v$version
  fi
  url=${url%/}

  for tool in awk chmod cp dirname grep gzip head mktemp mv rm rmdir sha256sum sort tar uname; do
    has "$tool" || die "$tool is not installed"
  done
  choose_targets
  choose_downloader
  check_old

  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Before anything is downloaded: a folder that cannot be written to.
  make_folder
  staged=$(mktemp "$to/.maand.XXXXXX") || die "cannot write to $to; choose another folder with --to"
  work=$(mktemp -d) || die "cannot write to ${TMPDIR:-/tmp}; set TMPDIR to a folder that can be written to"

  fetch SHA256SUMS
  check_signature
  choose_file
  fetch "$name"
  has_sum=$(sha256sum <"$work/$name")
  [ "${has_sum%% *}" = "$sum" ] ||
    die "$url/$name is not what SHA256SUMS says, because it was cut off or changed; nothing of it was installed
  expected $sum
  got      ${has_sum%% *}"

  # Only the program itself, by its full name.
  member=${name%.tar.gz}/maand
  tar -xzf "$work/$name" -C "$work" "$member" || die "cannot unpack $name"
  if [ -L "$work/$member" ] || [ ! -f "$work/$member" ]; then die "there is no program in $name"; fi
  cat "$work/$member" >"$staged" || die "cannot write to $to"
  chmod 755 "$staged"
  runs=$("$staged" --version </dev/null) || die "the program for $target does not run here; build it from source: cargo install"
  [ "$runs" = "maand $version" ] || die "the program in $name says that it is $runs"
  mv -f "$staged" "$to/maand" || die "cannot write $to/maand"
  staged='' finished=yes

  say "maand $version is installed: $to/maand"
  say "  checksum is right; $signature"
  case :${PATH:-}: in
  *":$to:"*)
    first=$(command -v maand || :)
    [ "$first" = "$to/maand" ] || say "  another maand comes first on PATH: $first" ;;
  *) say "  this folder is not on PATH; add it: export PATH=\"$to:\$PATH\"" ;;
  esac
  say "  completions: $to/maand completions bash|zsh|fish; manual pages: $to/maand man DIR"
  say "  to remove it: rm '$to/maand'"
}

main "$@"
}
