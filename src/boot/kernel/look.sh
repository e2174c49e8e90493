# What a worker runs, which kernels it has, and which one it would boot. With TOOLS=quiet also what a tool of its own says
# that writes nothing, and with TOOLS=all what those say that write to their logs. It prints one `name value` in a line,
# and makes and writes nothing itself.
set -u
LC_ALL=C LANG=C PATH=$PATH:/usr/sbin:/sbin
export LC_ALL LANG PATH
one() { tr '\n\r\t' '   ' | head -c "${1:-600}"; echo; }
echo "maand-boot 1"
running=$(uname -r)
printf 'running '; printf '%s' "$running" | one
printf 'build '; uname -v | one
if [ -r /proc/cmdline ]; then printf 'cmdline '; one 4000 </proc/cmdline; fi
for file in /etc/os-release /usr/lib/os-release; do
  if [ -r "$file" ]; then
    sed -n -e 's/^ID=/os /p' -e 's/^ID_LIKE=/os /p' "$file" | tr -d "\"'" | head -n 2
    break
  fi
done
if [ -e /run/systemd/container ]; then echo container; fi

for folder in /boot /usr/lib/modules; do
  if [ -d "$folder" ] && { [ ! -r "$folder" ] || [ ! -x "$folder" ]; }; then echo "unread $folder"; fi
done
count=0
for file in /boot/vmlinu[xz]-* /boot/kernel-* /boot/Image-* /boot/ostree/*/vmlinuz-* /boot/*/*/linux /efi/*/*/linux \
  /boot/EFI/Linux/*.efi /boot/efi/EFI/Linux/*.efi /efi/EFI/Linux/*.efi /usr/lib/modules/*/vmlinu[xz] \
  /lib/modules/*/vmlinu[xz]; do
  if [ -f "$file" ] && [ "$count" -lt 200 ]; then
    count=$((count + 1))
    printf 'file '; printf '%s' "$file" | one
  fi
done

# The text in the image of the running kernel: another build of the same name may have been installed since.
case $(uname -m) in x86_64 | i?86)
  for file in "/boot/vmlinuz-$running" "/usr/lib/modules/$running/vmlinuz"; do
    if [ -f "$file" ] && [ -r "$file" ]; then
      magic=$(dd if="$file" bs=1 skip=514 count=4 2>/dev/null | tr -d '\0')
      at=$(od -An -tu2 -j526 -N2 "$file" 2>/dev/null | tr -d ' \n')
      case $magic$at in HdrS*[!0-9]* | HdrS) ;; HdrS*)
        printf 'image '
        dd if="$file" bs=1 skip=$((at + 512)) count=250 2>/dev/null | tr '\0' '\n' | head -n 1 | one
        ;;
      esac
      break
    fi
  done
  ;;
esac

# What would boot, from the most to the least certain.
if command -v grubby >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  printf 'default grubby '; grubby --default-kernel 2>/dev/null </dev/null | head -n 1 | one
fi
for file in /boot/grub/grub.cfg /boot/grub2/grub.cfg; do
  [ -r "$file" ] || continue
  env=${file%/*}/grubenv
  chosen=$(cat /etc/default/grub /etc/default/grub.d/*.cfg 2>/dev/null | sed -n 's/^GRUB_DEFAULT=//p' | tail -n 1 |
    tr -d "\"'")
  once=$(sed -n 's/^next_entry=//p' "$env" 2>/dev/null | head -n 1)
  if [ -n "$once" ]; then
    chosen=$once
  elif [ "$chosen" = saved ]; then
    chosen=$(sed -n 's/^saved_entry=//p' "$env" 2>/dev/null | head -n 1)
  fi
  case $chosen in
    '' | 0)
      printf 'default grub '
      sed -n 's/^[[:space:]]*linux[0-9efi]*[[:space:]]*\([^[:space:]]*\).*/\1/p' "$file" | head -n 1 | one
      ;;
    *)
      if [ -r "/boot/loader/entries/$chosen.conf" ]; then
        printf 'default bls '
        sed -n 's/^version[[:space:]]*//p' "/boot/loader/entries/$chosen.conf" | head -n 1 | one
      else
        printf 'default entry '; printf '%s' "$chosen" | one
      fi
      ;;
  esac
  break
done
for folder in /boot /efi /boot/efi; do
  if [ -r "$folder/loader/loader.conf" ]; then
    chosen=$(sed -n 's/^default[[:space:]]*//p' "$folder/loader/loader.conf" | head -n 1)
    for file in "$folder/loader/entries/"*.conf; do
      [ -r "$file" ] || continue
      name=${file##*/}
      # The pattern is the loader's own, a glob.
      # shellcheck disable=SC2254
      case $name in $chosen | $chosen.conf)
        printf 'default loader '
        sed -n 's/^version[[:space:]]*//p' "$file" | head -n 1 | one
        break
        ;;
      esac
    done
    break
  fi
done
for link in /boot/vmlinuz /vmlinuz; do
  if [ -L "$link" ]; then printf 'default link '; readlink "$link" | one; break; fi
done

for flag in /run/reboot-required /var/run/reboot-required; do
  if [ -e "$flag" ]; then
    echo "required $flag"
    if [ -r "$flag.pkgs" ]; then printf 'packages '; sort -u "$flag.pkgs" | head -n 50 | one 2000; fi
    break
  fi
done
if [ -e /run/reboot-needed ]; then echo "required /run/reboot-needed"; fi
for writer in /usr/share/update-notifier/notify-reboot-required /usr/share/reboot-notifier/notify-reboot-required \
  /etc/kernel/postinst.d/unattended-upgrades; do
  if [ -x "$writer" ]; then echo "writer $writer"; fi
done

within() {
  if command -v timeout >/dev/null 2>&1; then timeout "$TOOL_SECONDS" "$@"; else "$@"; fi
}
if [ "$TOOLS" != no ]; then
  if command -v needrestart >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    said=$(within needrestart -b -k -w 2>/dev/null </dev/null)
    echo "needrestart $?"
    printf '%s\n' "$said" | sed -n -e 's/^NEEDRESTART-\(KSTA\): /needs_\1 /p' -e 's/^NEEDRESTART-\(KCUR\): /needs_\1 /p' \
      -e 's/^NEEDRESTART-\(KEXP\): /needs_\1 /p' -e 's/^NEEDRESTART-\(UCSTA\): /needs_\1 /p' | head -n 8
  fi
fi
if [ "$TOOLS" = all ]; then
  if command -v dnf >/dev/null 2>&1; then
    # Without the network first.
    said=$(within dnf -C needs-restarting -r 2>&1 </dev/null)
    code=$?
    case $said in *'Reboot is required'* | *'Reboot should not be'* | *'No such command'* | *'nknown argument'*) ;; *)
      said=$(within dnf needs-restarting -r 2>&1 </dev/null)
      code=$?
      ;;
    esac
    echo "dnf $code"
    printf 'dnf_said '; printf '%s' "$said" | one 2000
  elif command -v needs-restarting >/dev/null 2>&1; then
    said=$(within needs-restarting -r 2>&1 </dev/null)
    echo "dnf $?"
    printf 'dnf_said '; printf '%s' "$said" | one 2000
  fi
  if command -v zypper >/dev/null 2>&1; then
    within zypper --non-interactive needs-rebooting >/dev/null 2>&1 </dev/null
    echo "zypper $?"
  fi
fi
echo "end"
