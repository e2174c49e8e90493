# Takes a job's tree from standard input, unpacks it beside, and swaps it in.
hash=$MAAND_HASH
roll_forward
stage=$own/stage/$job
rm -rf "$stage" "$own/old/$job"
mkdir -p "$stage" "$jobdir" "$own/receipt" "$own/swap" "$own/tree" || fail 105 "cannot make folders in $dir"
# Files get the time of this moment (-m) by the worker's own clock: what make has built in bin/ from older
# ones is built again.
if ! tar -xmpof - -C "$stage"; then
    rm -rf "$stage"
    fail 104 "the files of $job could not be unpacked in $own"
fi
# A stream that was cut between two entries has no end entry.
if [ "$(cat "$stage/.maand-end" 2>/dev/null)" != "$hash" ]; then
    rm -rf "$stage"
    fail 104 "the files of $job did not arrive whole"
fi
rm -f "$stage/.maand-end"
# On disk before the swap is promised; file systems that cannot say so are taken as they are.
sync -f "$stage" 2>/dev/null || :
printf '1 %s\n' "$hash" | write "$own/swap/$job" || fail 105 "cannot write in $own"
roll_forward
