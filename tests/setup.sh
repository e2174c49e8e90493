#!/bin/sh
# Makes the tests with real OpenSSH servers possible: installs what they need where this is root on a
# machine with apt, else says what to install.
set -eu

get() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Installs packages, and starts nothing: openssh-server and others would listen on every address at once, and again after
# each boot.
install() {
  policy=/usr/sbin/policy-rc.d
  [ ! -e "$policy" ] || policy=
  if [ -n "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  had_server=$(command -v /usr/sbin/sshd || true)
  code=0
  # The lists of packages may be none, or old.
  get "$@" || { apt-get update -q && get "$@"; } || code=$?
  [ -z "$policy" ] || rm -f "$policy"
  trap - EXIT HUP INT TERM
  if [ -z "$had_server" ] && [ -x /usr/sbin/sshd ] && command -v systemctl >/dev/null 2>&1; then
    for unit in ssh.service ssh.socket; do systemctl disable -q "$unit" 2>/dev/null || true; done
    echo "setup: the SSH server of this machine is installed for the tests only; it is neither started nor enabled"
  fi
  return "$code"
}

missing=
for tool in /usr/sbin/sshd ssh-keygen unshare nsenter setsid setpriv flock make bash tar ip pgrep; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -z "$missing" ]; then
  echo "setup: everything is there"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "setup: missing:$missing; installing"
  install openssh-server openssh-client util-linux make bash tar iproute2 procps
else
  echo "setup: missing:$missing" >&2
  echo "setup: install OpenSSH (server and client), util-linux, make, bash, tar, iproute2 and procps; the fleet of" >&2
  echo "setup: real servers also needs root on Linux. The other tests run without." >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "setup: this is not root, so the tests with real SSH servers are skipped" >&2
fi
# Shells that somebody has for a login shell, the sudo that is really used, and what the workflow files of examples/ci
# call; and what looks at scripts, the installer's and others. The tests say which of them they skip.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  missing=
  for package in zsh:zsh fish:fish ksh:ksh93 mksh:mksh yash:yash tcsh:tcsh csh:bsd-csh busybox:busybox sudo:sudo git:git jq:jq \
    dash:dash shellcheck:shellcheck minisign:minisign curl:curl wget:wget; do
    command -v "${package#*:}" >/dev/null 2>&1 || missing="$missing ${package%:*}"
  done
  if [ -n "$missing" ]; then
    echo "setup: shells and tools of the tests:$missing; installing"
    # shellcheck disable=SC2086
    install $missing ||
      echo "setup: not installed; the tests with them are skipped" >&2
  fi
fi
# A real browser for the tests of pages, and the driver of the same version. On Ubuntu the packages of these names only
# fetch a snap, which does not see the tests' folders; Google's Chrome with its chromedriver does as well (the images of
# GitHub have both).
has_browser() {
  command -v chromedriver && { command -v chromium || command -v google-chrome; }
}
if ! has_browser >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! grep -q '^ID=ubuntu' /etc/os-release; then
    echo "setup: chromium and chromium-driver are missing; installing"
    install chromium chromium-driver || true
  fi
  has_browser >/dev/null 2>&1 || {
    echo "setup: install chromium and chromium-driver (Debian), or Chrome and its chromedriver (Ubuntu, where those are" >&2
    echo "setup: snaps); without, the tests with a real browser are skipped, and with CI=true they fail" >&2
  }
fi
# promtool, Prometheus and node_exporter, which read what is told of runs as numbers. Their packages are unpacked and not
# installed: each would start a server that listens on every address.
tools=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/prometheus
if ! [ -x "$tools/promtool" ] && command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  echo "setup: promtool, Prometheus and node_exporter: unpacking"
  mkdir -p "$tools.new"
  (
    cd "$tools.new"
    apt-get download -q prometheus prometheus-node-exporter 2>/dev/null ||
      { [ "$(id -u)" = 0 ] && apt-get update -q && apt-get download -q prometheus prometheus-node-exporter; }
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    mkdir -p "$tools"
    mv usr/bin/prometheus usr/bin/prometheus-node-exporter usr/bin/promtool "$tools/"
  ) || echo "setup: not unpacked; the tests with them are skipped" >&2
  rm -rf "$tools.new"
fi
# nginx, which the plans of tests ask, in the same way.
nginx=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/nginx
if ! [ -x "$nginx/nginx" ] && command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  echo "setup: nginx: unpacking"
  mkdir -p "$nginx.new"
  (
    cd "$nginx.new"
    apt-get download -q nginx 2>/dev/null ||
      { [ "$(id -u)" = 0 ] && apt-get update -q && apt-get download -q nginx; }
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    mkdir -p "$nginx"
    mv usr/sbin/nginx "$nginx/"
  ) || echo "setup: not unpacked; the tests with it are skipped" >&2
  rm -rf "$nginx.new"
fi
# HAProxy, and socat, by which plans talk to it, in the same way; each with the libraries that it needs beside it.
haproxy=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/haproxy
if ! [ -x "$haproxy/haproxy" ] && command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  echo "setup: HAProxy and socat: unpacking"
  mkdir -p "$haproxy.new"
  (
    cd "$haproxy.new"
    packages="haproxy socat libopentracing-c-wrapper0 libopentracing1 liblua5.3-0 libwrap0"
    # shellcheck disable=SC2086
    apt-get download -q $packages 2>/dev/null ||
      { [ "$(id -u)" = 0 ] && apt-get update -q && apt-get download -q $packages; }
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    mkdir -p "$haproxy/lib"
    find . -name '*.so*' -exec mv {} "$haproxy/lib/" \;
    for program in usr/sbin/haproxy usr/bin/socat; do
      name=${program##*/}
      cp -L "$program" "$haproxy/lib/$name"
      {
        echo '#!/bin/sh'
        # shellcheck disable=SC2016
        echo 'here=$(dirname "$(readlink -f "$0")")/lib'
        # shellcheck disable=SC2016
        echo "LD_LIBRARY_PATH=\$here\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec \"\$here/$name\" \"\$@\""
      } >"$haproxy/$name"
      chmod 755 "$haproxy/$name"
    done
  ) || echo "setup: not unpacked; the tests with it are skipped" >&2
  rm -rf "$haproxy.new"
fi
# Alertmanager with its amtool, in which plans silence what is expected, in the same way. Debian's looks for its templates
# at a place of the system, which is not there when it is unpacked; it gets one of the same length below its working folder.
alertmanager=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/alertmanager
if ! [ -x "$alertmanager/prometheus-alertmanager" ] && command -v apt-get >/dev/null 2>&1 &&
  command -v dpkg-deb >/dev/null 2>&1; then
  echo "setup: Alertmanager: unpacking"
  mkdir -p "$alertmanager.new"
  (
    cd "$alertmanager.new"
    apt-get download -q prometheus-alertmanager 2>/dev/null ||
      { [ "$(id -u)" = 0 ] && apt-get update -q && apt-get download -q prometheus-alertmanager; }
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    mkdir -p "$alertmanager"
    LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager\([^/]\)#templates/././././././././././././\1#' \
      usr/bin/prometheus-alertmanager
    mkdir -p "$alertmanager/templates"
    mv usr/share/prometheus/alertmanager/*.tmpl "$alertmanager/templates/"
    mv usr/bin/prometheus-alertmanager usr/bin/amtool "$alertmanager/"
  ) || echo "setup: not unpacked; the tests with it are skipped" >&2
  rm -rf "$alertmanager.new"
fi
# msmtp, a sendmail, and aiosmtpd, which takes its mails: neither starts a server by itself.
if ! command -v msmtp >/dev/null 2>&1 || ! command -v aiosmtpd >/dev/null 2>&1; then
  echo "setup: msmtp and aiosmtpd are missing; installing"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && install msmtp python3-aiosmtpd; then
    :
  else
    echo "setup: not installed; the test with them is skipped, and with CI=true it fails" >&2
  fi
fi
# Ansible, whose inventories are imported: 4 MB of packages with apt, else some 70 MB from PyPI in a folder of its own.
ansible=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/ansible
if ! command -v ansible-inventory >/dev/null 2>&1 && ! [ -x "$ansible/bin/ansible-inventory" ]; then
  echo "setup: ansible-inventory is missing; installing ansible-core"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && install ansible-core; then
    :
  elif python3 -m venv "$ansible" && "$ansible/bin/pip" install -q --disable-pip-version-check ansible-core; then
    :
  else
    rm -rf "$ansible"
    echo "setup: not installed; the tests with it are skipped, and with CI=true they fail" >&2
  fi
fi
# PostgreSQL, which keeps the runs of several machines. Its package makes a server for the machine when it is installed,
# unless it is told beforehand that the tests make their own, in temporary folders.
has_postgres() {
  for initdb in /usr/lib/postgresql/*/bin/initdb; do [ ! -x "$initdb" ] || return 0; done
  command -v initdb >/dev/null 2>&1 && command -v psql >/dev/null 2>&1
}
if ! has_postgres; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: PostgreSQL is missing; installing, without a server for this machine"
    conf=/etc/postgresql-common/createcluster.conf
    if ! [ -e "$conf" ]; then
      mkdir -p "$(dirname "$conf")"
      echo "create_main_cluster = false" >"$conf"
    fi
    install -o Dpkg::Options::=--force-confold postgresql || true
  fi
  has_postgres ||
    echo "setup: install PostgreSQL (initdb, postgres, psql); without, the tests with it are skipped, and with CI=true they fail" >&2
fi
# An emulator of BMCs that others wrote, in a folder of its own.
sushy=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}/sushy-tools
if ! [ -x "$sushy/bin/sushy-emulator" ]; then
  echo "setup: sushy-emulator is missing; installing sushy-tools from PyPI, some 40 MB"
  # Debian has what makes such folders in a package of its own.
  if ! python3 -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    install python3-venv || true
  fi
  if ! { python3 -m venv "$sushy" && "$sushy/bin/pip" install -q --disable-pip-version-check sushy-tools; }; then
    rm -rf "$sushy"
    echo "setup: not installed; the tests with it are skipped, and with CI=true they fail" >&2
  fi
fi
