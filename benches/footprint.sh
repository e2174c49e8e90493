#!/usr/bin/env bash
# What the program weighs, what of it comes from where, what its build costs, and how long it takes to start.
#
#   benches/footprint.sh [PROGRAM]     PROGRAM: a release that is not stripped; default: one is built, from nothing
#
# Each of the heavy crates of Cargo.toml is shown with what only it brings along: the crates that would be gone without
# it. A function counts for the first crate in its name that is not of Rust itself, so that what is made of a generic for
# a type of ours counts for us; C is told by the names in the archives of the build. Constants without a name and the
# tables to unwind the stack count for nobody. Seconds are by the clock, one crate beside another: for a quiet machine.
# Needs binutils (nm, readelf).
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=${CARGO_TARGET_DIR:-target}/footprint
heavy=${HEAVY:-openssl-sys libssh2-sys rusqlite russh tokio axum clap clap_complete miette jiff serde-saphyr serde_json schemars toml_edit similar petgraph prometheus-client ureq}

program=${1:-}
if [ -z "$program" ]; then
  rm -rf "$folder"
  begin=$(date +%s)
  CARGO_TARGET_DIR=$folder CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_STRIP=none \
    cargo build --release --locked --bin maand --timings
  printf 'from nothing: %d s on %d cores (load before the end: %s)\n\n' $(($(date +%s) - begin)) "$(nproc)" \
    "$(cut -d' ' -f1 /proc/loadavg)"
  program=$folder/release/maand
else
  folder=$(dirname "$program")/..
fi

cp "$program" "$work/stripped"
strip "$work/stripped"
printf 'stripped: %d bytes, of these\n' "$(stat -c %s "$work/stripped")"
readelf -SW "$work/stripped" | sed 's/^ *\[ *[0-9]*\] *//' |
  awk '$1 ~ /^\./ && $2 != "NOBITS" { print $5, $1 }' |
  while read -r hex section; do printf '%9d  %s\n' $((16#$hex)) "$section"; done | sort -rn | head -n 8

# `--version`, the least and the middle of many.
for _ in $(seq 100); do
  begin=$(date +%s%N)
  "$work/stripped" --version >"$work/version"
  echo $((($(date +%s%N) - begin) / 1000))
done | sort -n >"$work/starts"
printf '\n%s: %d us at least, %d us in the middle of 100 starts\n' "$(cat "$work/version") --version" \
  "$(head -n1 "$work/starts")" "$(sed -n 50p "$work/starts")"

# Names of functions and data in the archives of C, each with its library.
find "$folder" -path '*/out/*' -name '*.a' -not -name 'libring*test*' | while read -r archive; do
  library=$(basename "$archive" .a)
  nm --defined-only "$archive" 2>/dev/null | awk -v library="${library#lib}" 'NF == 3 { print $3, library }'
done | sort -u -k1,1 >"$work/of-c"

# Bytes of each crate: "BYTES CRATE".
nm -C -S "$program" | awk -v of_c="$work/of-c" '
  function number(hex,   i, n) {
    for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return n
  }
  BEGIN { while ((getline line < of_c) > 0) { split(line, part, " "); library[part[1]] = part[2] } }
  NF >= 4 && $3 !~ /^[bBuU]$/ {
    # Names that were folded into one have one address.
    if (seen[$1]++) next
    bytes = number($2)
    name = $4
    for (i = 5; i <= NF; i++) name = name " " $i
    crate = ""
    rest = name
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*(\[[0-9a-f]+\])?::/)) {
      before = substr(rest, RSTART - 1, 1)
      word = substr(rest, RSTART, RLENGTH)
      sub(/(\[[0-9a-f]+\])?::$/, "", word)
      rest = substr(rest, RSTART + RLENGTH)
      if (before == ":") continue
      if (word !~ /^(core|alloc|std|proc_macro)$/) { crate = word; break }
      # The rest of this path is of Rust itself.
      sub(/^([A-Za-z_][A-Za-z0-9_]*(\[[0-9a-f]+\])?::)*[A-Za-z_][A-Za-z0-9_]*/, "", rest)
      crate = crate == "" ? "std" : crate
    }
    if (crate == "" && name in library) crate = library[name]
    if (crate == "") crate = "(not told)"
    sum[crate] += bytes
  }
  END { for (crate in sum) print sum[crate], crate }
' | sort -rn >"$work/bytes"

# Seconds of each crate, its build script and the run of that included: "SECONDS CRATE".
timings=$(find "$folder" "$folder/.." -maxdepth 2 -path '*cargo-timings/cargo-timing.html' | head -n1)
if [ -n "$timings" ]; then
  awk '
    /^ *"name":/ { gsub(/[",]/, ""); name = $2 }
    /^ *"duration":/ { gsub(/,/, ""); sum[name] += $2 }
    END { for (name in sum) printf "%.1f %s\n", sum[name], name }
  ' "$timings" | sort -rn >"$work/seconds"
else
  : >"$work/seconds"
fi
printf '\nbytes of single crates\n'
head -n 25 "$work/bytes" | awk '{ printf "%9d  %s\n", $1, $2 " " $3 }'
if [ -s "$work/seconds" ]; then
  printf '\nseconds of single crates\n'
  head -n 12 "$work/seconds" | awk '{ printf "%9.1f  %s\n", $1, $2 }'
fi

printf '\nheavy crates of Cargo.toml, with what only they bring along\n%9s %8s  %s\n' bytes seconds crate
packages() { cargo tree --locked --edges normal,build --prefix none --format '{p}' "$@" | awk '{ print $1, $2 }' | sort -u; }
packages >"$work/packages"
awk '{ print $1 }' "$work/packages" | sort -u >"$work/all"
for crate in $heavy; do
  # There may be another version of it in the tests.
  version=$(awk -v crate="$crate" '$1 == crate { sub(/^v/, "", $2); print $2; exit }' "$work/packages")
  [ -n "$version" ] || continue
  packages --prune "$crate@$version" >"$work/without"
  comm -23 "$work/all" <(awk '{ print $1 }' "$work/without" | sort -u) >"$work/only"
  # Names of crates as in symbols, and the libraries of C that are built by one.
  sed 's/-/_/g' "$work/only" >"$work/symbols"
  grep -qx openssl-sys "$work/only" && printf 'crypto\nssl\n' >>"$work/symbols"
  grep -qx libssh2-sys "$work/only" && echo ssh2 >>"$work/symbols"
  grep -qx libsqlite3-sys "$work/only" && echo sqlite3 >>"$work/symbols"
  bytes=$(awk 'NR == FNR { is[$1]; next } $2 in is { n += $1 } END { print n + 0 }' "$work/symbols" "$work/bytes")
  seconds=$(awk 'NR == FNR { is[$1]; next } $2 in is { n += $1 } END { printf "%.1f", n }' "$work/only" "$work/seconds")
  printf '%9d %8s  %s (%d crates)\n' "$bytes" "$seconds" "$crate" "$(wc -l <"$work/only")"
done
