# Removes the files of a job; data, logs and bin stay.
rm -f "$own/swap/$job"
for path in "$jobdir"/* "$jobdir"/.[!.]* "$jobdir"/..?*; do
    name=${path##*/}
    case $name in data | logs | bin) continue ;; esac
    exists "$path" || continue
    rm -rf "$path" || fail 105 "cannot remove $path"
done
rmdir "$jobdir" 2>/dev/null || :
rm -rf "$own/stage/$job" "$own/old/$job" "$own/tree/$job" "$own/receipt/$job"
