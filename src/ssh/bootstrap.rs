//! The shell text of the bootstrap, the same for every script: it decides on sudo, takes the lock, starts the
//! script in a group of its own where something has to outlive it, and says how it ended.
//!
//! Values never go in here. What is said on the channel is described in [`super::frame`].

use super::quote;

/// What the login shell executes, whichever it is: one line of plain words, which csh, fish, rc and others read as sh
/// does (csh ends a quoted word at a line end and takes the rest for commands of its own). It becomes an `sh` that
/// reads the rest. Without `exec`, which a restricted shell refuses.
pub(super) const COMMAND: &str = r#"sh -c 'echo maand-ready-1; IFS= read -r l; eval "$l"'"#;

/// The line that it reads: the lines after it, up to one with a dot, are what is executed.
const LOADER: &str =
    r#"n=$(printf "\nx"); n=${n%x}; t=; while IFS= read -r l && [ "$l" != . ]; do t=$t$l$n; done; eval "$t""#;

/// Decides on sudo, then becomes the wrapper. `$1` wrapper, `$2` runner; `$3` is added: `sh`, or where
/// there is no `setsid`, `bash`: that can give a job a group of its own without a terminal, and most `sh`
/// cannot.
const STAGE: &str = r#"unset l n t
IFS=" " read -r v s t || exit 1
[ "$v" = maand1 ] || exit 1
i=sh
command -v setsid >/dev/null 2>&1 || i=bash
set -- "$@" "$i"
if [ "$s" = 1 ] && [ "$(id -u)" != 0 ]; then
  sudo -n -E -- "$i" -c "$1" maand "$@"
  c=$?
  printf "\036\n%s err 0\n" "$t" >&2
  printf "\036\n%s sudo %s\n" "$t" "$c"
  exit 0
fi
[ "$i" = sh ] || exec bash --norc -c "$1" maand "$@"
eval "$1""#;

/// Takes the lock, starts the runner in a group of its own and a watchdog beside it, and says how it
/// ended, also when the connection is gone. `9` is the lock; neither the script nor what it leaves behind
/// inherits it. Few processes are started: on a small worker they are most of what a short command costs.
/// bash reads its startup files anew for each shell below sshd, but for `--norc`; the login shell has.
///
/// Without a lock and without a deadline of its own a script stays in the process group that sshd has made
/// for the login, and the wrapper in it: nothing here has to outlive it.
const WRAPPER: &str = r#"IFS=" " read -r tb te shell lock dl len own ascii || exit 1
IFS= read -r dir || exit 1
case $dir in /*) ;; *) dir=${HOME:-.}/$dir ;; esac
end() { printf "\036\n%s err 0\n" "$te" >&2; printf "\036\n%s %s %s\n" "$te" "$1" "$2"; exit 0; }
command -v "$shell" >/dev/null 2>&1 || end noshell 0
norc=
[ "$shell" != bash ] || norc=--norc
if [ "$lock$dl" = 00 ]; then
  trap : TERM INT HUP PIPE
  "$shell" $norc -c "$2" maand "$len" "$tb" "$dir" 0 "$ascii"
  end exit "$?"
fi
if [ "$lock" = 1 ]; then
  [ -d "$dir" ] || (umask 077 && mkdir -p -- "$dir") || end nostate 0
  (umask 077 && : >>"$dir/lock") || end nostate 0
  command -v flock >/dev/null 2>&1 || end noflock 0
  exec 9>>"$dir/lock"
  flock -w "$dl" 9 || end locked 0
  if [ -s "$dir/group" ] && read -r g st <"$dir/group" && [ -r "/proc/$g/stat" ] && read -r s <"/proc/$g/stat"; then
    set -f; old1=$1 old2=$2 old3=$3
    set -- ${s##*) }
    if [ "${20}" = "$st" ]; then
      kill -s KILL -- "-$g" 2>/dev/null
      n=0
      while [ "$n" -lt 100 ] && read -r s 2>/dev/null <"/proc/$g/stat"; do
        case ${s##*) } in Z* | X*) break ;; esac
        n=$((n + 1))
        sleep 0.05 2>/dev/null || sleep 1
      done
    fi
    set -- "$old1" "$old2" "$old3"; set +f
  fi
  printf "%s go\n" "$tb"
fi
exec 3<&0
fired= w=
trap "fired=1" USR1
trap : PIPE
if [ "$3" = sh ]; then
  setsid "$shell" $norc -c "$2" maand "$len" "$tb" "$dir" "$lock" "$ascii" <&3 3<&- 9>&- &
  p=$!
else
  set -m
  "$shell" $norc -c "$2" maand "$len" "$tb" "$dir" "$lock" "$ascii" <&3 3<&- 9>&- &
  p=$!
  set +m
fi
if [ "$dl" != 0 ]; then
  (
    trap "kill \$! 2>/dev/null; exit" TERM
    sleep "$dl" &
    wait "$!" || exit
    kill -s USR1 "$$"
    kill -s TERM -- "-$p"
    sleep 2
    kill -s KILL -- "-$p"
  ) </dev/null >/dev/null 2>&1 3<&- 9>&- &
  w=$!
fi
exec 3<&- </dev/null
while :; do
  wait "$p"
  c=$?
  kill -0 "$p" 2>/dev/null || break
done
[ "$lock" = 1 ] && : >"$dir/group"
[ -n "$fired" ] && end deadline "$c"
[ -z "$w" ] || kill "$w" 2>/dev/null
end exit "$c""#;

/// Reads the body, records its group, and is the body from there on, which says when the script begins.
/// `$1` bytes of body, `$2` begin token, `$3` state folder, `$4` lock, `$5` the body is ASCII. bash can read
/// so many characters at once, and of ASCII these are bytes in any locale; else `read` takes byte by byte,
/// as what follows is not its own: for a short body that costs less than another process.
const RUNNER: &str = r##"b= l=
if [ "$5" = 1 ] && [ -n "${BASH_VERSION-}" ]; then
  IFS= read -r -N "$1" b
  case $b in *"#$2
") ;; *) exit 125 ;; esac
elif [ "$1" -le 2048 ]; then
  while IFS= read -r l; do
    [ "$l" != "#$2" ] || break
    b="$b$l
"
  done
  [ "$l" = "#$2" ] || exit 125
else
  b=$(head -c "$1")
  case $b in *"#$2") ;; *) exit 125 ;; esac
fi
read -r s </proc/$$/stat
set -f
set -- "$2" "$3" "$4" ${s##*) }
g=$6
if [ "$g" != $$ ]; then
  read -r s </proc/$g/stat
  set -- "$1" "$2" "$3" ${s##*) }
fi
set +f
[ "$3" != 1 ] || printf "%s %s\n" "$g" "${23}" >"$2/group" || {
  # Not every shell says why; a program does.
  cat /proc/self/stat >"$2/try"
  rm -f "$2/try"
  exit 98
}
MAAND_STATE_DIR=$2
export MAAND_STATE_DIR
set -- "echo $1 begin $g ${23}"
eval "unset b s l g
$b""##;

/// What is sent first, for every script the same.
pub(super) fn bootstrap() -> String {
    format!("{LOADER}\nset -- {} {}\n{STAGE}\n.\n", quote(WRAPPER), quote(RUNNER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_is_sound_shell() {
        for text in [COMMAND, LOADER, STAGE, WRAPPER, RUNNER] {
            for shell in ["sh", "bash"] {
                let checked = std::process::Command::new(shell).args(["-n", "-c", text]).status();
                assert!(checked.unwrap().success(), "{shell}: {text}");
            }
        }
    }
}
