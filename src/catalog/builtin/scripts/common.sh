# Read before every script of the catalog, by sh. All values come in as MAAND_... variables; they are
# taken over and unset, as make would take environment variables for its own.
set -u
umask 022
dir=$MAAND_DIR
own=$dir/.maand
job=${MAAND_JOB-}
jobdir=$dir/jobs/$job
boot_file=${MAAND_BOOT_ID-}

# fail CODE TEXT: codes from 100 on are ours, see scripts.rs.
fail() {
    code=$1
    shift
    printf 'maand: %s\n' "$*" >&2
    exit "$code"
}

# write FILE: standard input becomes its content, whole or not at all. No job is named `.new-...`.
write() {
    new=${1%/*}/.new-${1##*/}
    cat >"$new" && mv -f "$new" "$1"
}

exists() {
    [ -e "$1" ] || [ -L "$1" ]
}

real_folder() {
    [ -d "$1" ] && ! [ -L "$1" ]
}

# away FROM NAME: moves what is replaced out of the way, within the file system.
away() {
    mkdir -p "$own/old/$job" && rm -rf "$own/old/$job/$2" && mv -f "$1" "$own/old/$job/$2"
}

# Brings a swap that was begun to its end. Phase 1 moves away what the new tree does not have, while
# the stage is still whole; phase 2 moves the stage in. Each step can be repeated.
roll_forward() {
    [ -f "$own/swap/$job" ] || return 0
    stage=$own/stage/$job
    read -r phase hash <"$own/swap/$job" || fail 105 "cannot read $own/swap/$job"
    [ -d "$stage" ] || fail 105 "$stage has vanished in the middle of a swap; remove $own/swap/$job and deploy"
    if [ "$phase" = 1 ]; then
        for path in "$jobdir"/* "$jobdir"/.[!.]* "$jobdir"/..?*; do
            name=${path##*/}
            case $name in data | logs | bin) continue ;; esac
            exists "$path" || continue
            exists "$stage/$name" || away "$path" "$name" || fail 105 "cannot move $path away"
        done
        printf '2 %s\n' "$hash" | write "$own/swap/$job" || fail 105 "cannot write in $own"
    fi
    for path in "$stage"/* "$stage"/.[!.]* "$stage"/..?*; do
        name=${path##*/}
        exists "$path" || continue
        if exists "$jobdir/$name" && { real_folder "$jobdir/$name" || real_folder "$path"; }; then
            away "$jobdir/$name" "$name" || fail 105 "cannot move $jobdir/$name away"
        fi
        mv -f -T "$path" "$jobdir/$name" || fail 105 "cannot move $path to $jobdir"
    done
    printf '%s\n' "$hash" | write "$own/tree/$job" || fail 105 "cannot write in $own"
    rm -f "$own/swap/$job"
    rm -rf "$stage" "$own/old/$job"
}

# Only what a Makefile is told stays in the environment.
clean_environment() {
    unset MAAND_DIR MAAND_JOB MAAND_BOOT_ID MAAND_RUN MAAND_EPOCH MAAND_STATE_DIR MAAND_HASH MAAND_ACTION MAAND_TARGET \
        MAAND_LOOK MAAND_DEPLOY MAAND_WORKER_JSON MAAND_JOBS_JSON MAKEFLAGS MAKELEVEL MFLAGS
}
