#!/bin/bash
# Installs what carplab needs and the machine lacks: distribution packages, then Python packages into .venv.
# Run by `make setup`, with --for-tests by `make test`, and by everything that needs it; when nothing is missing it ends in a few hundredths of a second.
set -euo pipefail
cd "$(dirname "$0")/.."

# Mininet is a package of the distribution's own Python: another python3 first on PATH cannot see it.
PYTHON=/usr/bin/python3
VENV=.venv
STAMP=$VENV/carplab-setup-stamp
PACKAGES=(mininet openvswitch-switch iperf3 iperf iputils-ping ethtool nftables conntrack conntrackd
          tcpdump tshark ucarp keepalived iproute2 kmod procps python3 python3-venv
          libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core)
# The tests open the live view in a browser.
[[ ${1:-} != --for-tests ]] || PACKAGES+=(chromium)

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

list_missing_packages() {
  # dpkg-query fails when it does not know one of them, and still lists the others.
  comm -23 <(printf '%s\n' "${PACKAGES[@]}" | sort) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort)
}

# Of the services that come with these packages only Open vSwitch may start. Debian's mininet and others bring
# services that would take a port or act on the machine's own interfaces.
forbid_other_services() {
  $SUDO test ! -e /usr/sbin/policy-rc.d || return 0
  $SUDO tee /usr/sbin/policy-rc.d >/dev/null <<'POLICY'
#!/bin/sh
# Written by carplab's set-up for the time of one apt-get; left behind only if that was killed: delete it then.
case "$1" in openvswitch-switch*|ovs*) exit 0;; *) exit 101;; esac
POLICY
  trap '$SUDO rm -f /usr/sbin/policy-rc.d' EXIT
  $SUDO chmod 755 /usr/sbin/policy-rc.d
}

list_enabled_services() {
  command -v systemctl >/dev/null || return 0
  systemctl list-unit-files --type=service --state=enabled --no-legend | awk '{ print $1 }' | sort
}

# Nothing that came along may start at the next boot either (ucarp brings ifupdown, which would touch the machine's
# network). Open vSwitch may.
disable_services_not_in() {
  local service
  while read -r service; do
    case $service in openvswitch-switch.*|ovs*) continue;; esac
    say "disabling $service, which came along and which carplab does not need"
    $SUDO systemctl disable --quiet "$service" </dev/null
  done < <(comm -13 <(echo "$1") <(list_enabled_services))
}

install_packages() {
  local missing=("$@") enabled output
  command -v apt-get >/dev/null || fail "no apt-get here: install ${missing[*]} with your system's packages, then try again"
  SUDO=
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null ||
      fail "packages are missing, and there is no sudo: as root, run: apt-get install --no-install-recommends ${missing[*]}"
    SUDO=sudo
  fi
  say "installing with apt-get: ${missing[*]} (this takes a minute)"
  forbid_other_services
  enabled=$(list_enabled_services)
  $SUDO apt-get update -qq </dev/null || say "apt-get update failed: going on with the package lists that are here"
  # iperf3 asks a question at its installation, needrestart may ask another; and other updates may be under way.
  output=$($SUDO env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" </dev/null 2>&1) ||
    fail "apt-get could not install them, and said: $output"
  disable_services_not_in "$enabled"
}

# Changes when anything does that the virtual environment is made from.
describe_inputs() {
  "$PYTHON" -V
  pwd
  sha256sum setup.py constraints.txt scripts/setup.sh
}

make_venv() {
  "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' ||
    fail "$PYTHON is $("$PYTHON" -V), and carplab needs Python 3.10 to 3.13"
  say "making $VENV with $("$PYTHON" -V) (this takes a minute)"
  rm -rf "$VENV"
  "$PYTHON" -m venv --system-site-packages "$VENV"
  # Ryu 4.34 builds only with setuptools < 68, so it is built with the pinned one instead of the newest.
  local pip=("$VENV/bin/python" -m pip -qq --disable-pip-version-check --no-input)
  "${pip[@]}" install --constraint constraints.txt --ignore-installed pip setuptools wheel pbr
  # As one directory on the path (compat) the editable install costs carpd's start nothing.
  "${pip[@]}" install --constraint constraints.txt --no-build-isolation \
    --config-settings editable_mode=compat --editable '.[controller,dev]'
  # A user's `sudo .venv/bin/carplab ...` must leave no compiled files of root's in the checkout.
  echo 'import os, sys; sys.dont_write_bytecode |= os.environ.get("SUDO_UID", "0") != "0"' \
    > "$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/carplab-bytecode.pth"
  describe_inputs > "$STAMP"
}

# `sudo make setup` in a user's checkout: what root made there goes to the user.
give_back() {
  local owner
  owner=$(stat -c %u:%g .)
  [[ $EUID -ne 0 || $owner == 0:* ]] || chown -R --from=0 "$owner" "$VENV" ./*.egg-info carplab controllers experiments topo
}

mapfile -t missing < <(list_missing_packages)
[[ ${#missing[@]} -eq 0 ]] || install_packages "${missing[@]}"
if ! describe_inputs | cmp -s - "$STAMP"; then
  make_venv
  say "done: commands in $VENV/bin: carplab, carpd"
fi
# sudo's runs write no compiled files, and would compile what is new each time.
"$VENV/bin/python" -m compileall -q carplab controllers experiments topo || true
give_back
