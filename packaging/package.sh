# shellcheck shell=bash disable=SC2034
# What packaging/deb and packaging/rpm have in common. Sourced by them.
#
#   SOURCE_DATE_EPOCH  the time that files and packages get, in seconds; without it that of the last commit
#   MAAND_RUN          a program of the same version that runs on this machine, which writes the manual pages and
#                      completions where the one that is packaged does not run (one for another processor)
set -euo pipefail
export LC_ALL=C
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(dirname "$here")
fail() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }
need() { for tool; do command -v "$tool" >/dev/null || fail "$tool is not installed"; done; }

# The version in Cargo.toml; one before a release sorts before it with both kinds of package.
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$source_root/Cargo.toml")
package_version=${version/-/\~}

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git -C "$source_root" log -1 --format=%ct 2>/dev/null) || fail "not a checkout: set SOURCE_DATE_EPOCH"
fi
export SOURCE_DATE_EPOCH

# The processor of an ELF file, as `uname -m` has it.
processor() {
  [ "$(head -c 4 "$1" | od -An -c | tr -d ' ')" = '177ELF' ] || fail "$1 is no ELF file"
  case $(od -An -tx1 -j18 -N2 "$1" | tr -d ' ') in
  3e00) echo x86_64 ;;
  b700) echo aarch64 ;;
  *) fail "$1 is for a processor that is not packaged for" ;;
  esac
}

# lay_out BINARY ROOT ZSH: all that both kinds of package install; ZSH is the folder where zsh looks on such a system.
lay_out() {
  local binary=$1 root=$2 zsh=$3 run=${MAAND_RUN:-$1} work said date
  local doc=$root/usr/share/doc/maand man=$root/usr/share/man/man1
  work=$(mktemp -d)
  # Asked as a copy whose path is ours, so that it can be replaced by where the program will be.
  install -m 755 "$run" "$work/maand"
  said=$("$work/maand" --version) || fail "$run does not run on this machine; set MAAND_RUN to one that does"
  [ "$said" = "maand $version" ] || fail "$run is $said, and Cargo.toml says $version"

  install -D -m 755 "$binary" "$root/usr/bin/maand"
  completions() {
    mkdir -p "$(dirname "$2")"
    "$work/maand" completions "$1" | sed "s|$work/maand|/usr/bin/maand|g" >"$2"
    grep -q /usr/bin/maand "$2" || fail "the completions for $1 do not name /usr/bin/maand"
  }
  completions bash "$root/usr/share/bash-completion/completions/maand"
  completions zsh "$root/$zsh/_maand"
  completions fish "$root/usr/share/fish/vendor_completions.d/maand.fish"

  "$work/maand" --quiet man "$man"
  # The program does not know when it was built; a page says of when its text is.
  date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)
  sed -i "s/^\(\.TH [^ ]* 1\) \"\"/\1 $date/" "$man"/*.1
  gzip -9n "$man"/*.1

  mkdir -p "$doc/docs" "$doc/examples/plans"
  cp "$source_root"/README.md "$source_root"/SECURITY.md "$doc"
  cp "$source_root"/docs/*.md "$doc/docs"
  cp "$source_root"/plans/*.yaml "$doc/examples/plans"
  cp -R "$source_root"/examples/ci "$source_root"/examples/monitoring "$doc/examples"
  "$here/licences" "$work/licences"
  gzip -9nc "$work/licences/THIRD-PARTY" >"$doc/THIRD-PARTY.gz"
  cp "$work/licences/copyright" "$doc/copyright"
  licence=$(cat "$work/licences/spdx")
  rm -rf "$work"
}

# Same times and modes whoever builds it.
settle() {
  find "$1" -type d -exec chmod 755 {} +
  find "$1" -type f -perm /111 -exec chmod 755 {} +
  find "$1" -type f ! -perm /111 -exec chmod 644 {} +
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}
