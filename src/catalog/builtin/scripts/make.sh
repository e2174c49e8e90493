# Runs make for a deploy and leaves a receipt of it, so that an answer that is lost can be had again.
action=$MAAND_ACTION hash=$MAAND_HASH look=$MAAND_LOOK deploy=$MAAND_DEPLOY
roll_forward
boot=$(cat "$boot_file" 2>/dev/null || echo none)
mkdir -p "$own/receipt" || fail 105 "cannot make $own/receipt"

# receipt STATE: what was done last, and how far it came.
receipt() {
    printf 'state %s\naction %s\nhash %s\ndeploy %s\nboot %s\n' "$1" "$action" "$hash" "$deploy" "$boot" |
        write "$own/receipt/$job" || fail 105 "cannot write $own/receipt/$job"
}

was_state='' was_action='' was_hash='' was_deploy='' was_boot=''
if [ -f "$own/receipt/$job" ]; then
    while read -r key value; do
        case $key in
        state) was_state=$value ;;
        action) was_action=$value ;;
        hash) was_hash=$value ;;
        deploy) was_deploy=$value ;;
        boot) was_boot=$value ;;
        esac
    done <"$own/receipt/$job"
fi
target=$action
case $action in
stop)
    was_of_kind=$([ "$was_action" = stop ] && echo yes)
    if ! [ -f "$jobdir/Makefile" ]; then
        receipt done
        exit 0
    fi
    ;;
*)
    was_of_kind=$(case $was_action in start | restart | reload) echo yes ;; esac)
    [ -f "$jobdir/Makefile" ] && [ "$(cat "$own/tree/$job" 2>/dev/null)" = "$hash" ] || exit 100
    ;;
esac
if [ "$was_of_kind" = yes ] && [ "$was_state" = done ] && [ "$was_boot" = "$boot" ]; then
    if [ "$was_hash" = "$hash" ]; then
        case $look in
        tree) exit 110 ;;
        attempt) [ "$was_deploy" = "$deploy" ] && exit 110 ;;
        esac
    fi
    # It runs here with another tree although the catalog has never heard of it.
    [ "$action" != start ] || target=restart
fi

receipt begun
cd "$jobdir" || fail 105 "cannot enter $jobdir"
clean_environment
make "$target" </dev/null
code=$?
if [ "$code" != 0 ]; then
    receipt failed
    fail 102 "make $target ended with $code"
fi
receipt done
