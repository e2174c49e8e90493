# Prints worker.json.
[ -f "$dir/worker.json" ] || exit 111
cat "$dir/worker.json"
