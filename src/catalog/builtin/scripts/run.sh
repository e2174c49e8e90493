# Runs a Makefile target of a job for `maand job`.
target=$MAAND_TARGET
[ "$target" = status ] || roll_forward
[ -f "$jobdir/Makefile" ] || exit 100
command -v make >/dev/null 2>&1 || fail 101 "make is not installed here"
cd "$jobdir" || fail 105 "cannot enter $jobdir"
clean_environment
make "$target" </dev/null
code=$?
[ "$code" = 0 ] || fail 102 "make $target ended with $code"
