#!/usr/bin/env bash
# package-try.boot ROOT: boots a root with the packages in /debs twice, systemd
# being process 1 in namespaces and a control group of its own, without a network
# but its loopback. What is done there is package-try.booted's. Where this machine
# cannot boot a container it says why in one line, and that is no failure.
set -euo pipefail
root=$1
cannot() { echo "booted: not tried: $*"; exit 0; }
controls=$(findmnt -nt cgroup2 -o TARGET | head -1)
[[ -n $controls ]] || cannot "no cgroup2 is mounted, and systemd needs one"
group=$controls/passage-try.$$
mkdir "$group" 2>/dev/null || cannot "no control group can be made in $controls"
end() {
  [[ ! -e $group/cgroup.kill ]] || echo 1 >"$group/cgroup.kill"
  for _ in $(seq 50); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break; read -rt 0.1 <> <(:) || true; done
}
trap end EXIT
apart=(unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net)
why=$("${apart[@]}" mount -t sysfs sysfs "$root/sys" 2>&1) || cannot "no namespaces: $why"

# What a clean machine gets from its own mirror before: all that the packages
# depend on, but none of them; and PC/SC with a reader that simulates its cards.
export DEBIAN_FRONTEND=noninteractive
needs=$(for d in "$root"/debs/*.deb; do [[ $d == *passage-screen* ]] || dpkg-deb -f "$d" Depends; done | tr ',' '\n' | sed 's/ //; s/[ (].*//' | grep -v '^passage' | sort -u)
chroot "$root" apt-get update -qq
# shellcheck disable=SC2086 # one word a package
chroot "$root" apt-get install -y -qq --no-install-recommends $needs pcscd vsmartcard-vpcd >"$root/apt.log" 2>&1 || { tail "$root/apt.log"; exit 1; }
systemd-machine-id-setup --root="$root" >/dev/null 2>&1

unit() { printf "[Unit]\nAfter=network.target\n[Service]\nUser=passage-kioskd\nStateDirectory=passage\nStateDirectoryMode=0700\nUMask=0077\nNice=-5\nRestart=always\nRestartSec=100ms\nExecStart=%s\n[Install]\nWantedBy=multi-user.target\n" "$2" >"$root/etc/systemd/system/$1.service"; }
unit sim-register "/usr/bin/hwsim register --dir /var/lib/passage/sim"
unit sim-lane "/bin/sh -c 'exec hwsim lane --pcsc --dir /var/lib/passage/sim --portraits /portraits <>/run/words'"
echo 'p /run/words 0666 root root' >"$root/etc/tmpfiles.d/words.conf"
for u in getty.target systemd-networkd.service systemd-resolved.service systemd-logind.service e2scrub_reap.service sys-kernel-debug.mount sys-kernel-tracing.mount; do ln -sf /dev/null "$root/etc/systemd/system/$u"; done
printf '[Unit]\nAfter=basic.target\n[Service]\nType=exec\nExecStart=/package-try.booted\nStandardOutput=file:/try.log\nStandardError=inherit\nExecStopPost=/bin/systemctl --no-block exit\n[Install]\nWantedBy=multi-user.target\n' >"$root/etc/systemd/system/try.service"
chroot "$root" systemctl enable -q try.service

for boot in first second; do
  rm -f "$root/try.log"
  echo "$boot $EPOCHREALTIME" >"$root/try.run"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    exec timeout 900 "${apart[@]}" bash -ec '
      mount --make-rprivate /
      ip link set lo up && hostname lane
      cd "$0" && mkdir -p .host
      mount -t proc proc proc; mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
      mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
      mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs tmpfs tmp; mount -t tmpfs -o mode=755 tmpfs dev
      mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts; ln -s pts/ptmx dev/ptmx
      while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<<"null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0"
      pivot_root . .host
      cd / && umount -l /.host && mount --make-rshared / # systemd does that where it is in no container; credentials reach a unit so
      exec env -i container=passage-try PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no' "$root"
  ) >"$root/try.console" 2>&1 || true
  cat "$root/try.log" 2>/dev/null || { echo "booted: it did not come up"; tail -20 "$root/try.console"; exit 1; }
  tail -1 "$root/try.log" | grep -qx "booted: whole" || exit 1
done
