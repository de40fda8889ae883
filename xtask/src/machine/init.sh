#!/bin/sh
# The first process: an ext4 as root, since overlay's upper directories and pivot_root need more than the initial memory gives.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=1777 tmp /tmp
while read -r module; do insmod "/modules/$module" || echo "insmod $module failed"; done < /modules/order
truncate -s 768M /tmp/disk
mkfs.ext4 -q -O ^has_journal /tmp/disk
losetup /dev/loop0 /tmp/disk
mount -t ext4 /dev/loop0 /mnt
for name in /*; do
    case $name in
        /dev|/proc|/sys|/tmp|/mnt|/modules|/init) ;;
        *) cp -a "$name" /mnt/ ;;
    esac
done
mkdir /mnt/proc /mnt/sys /mnt/dev /mnt/tmp
chmod 1777 /mnt/tmp
for name in proc sys dev; do mount --move "/$name" "/mnt/$name"; done
cat > /mnt/start <<'END'
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmp /tmp && chmod 1777 /tmp
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t securityfs security /sys/kernel/security
ifconfig lo up
stty -F /dev/ttyS1 raw
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
exec > /dev/ttyS1 2>&1 < /dev/null
sh /script
echo "=== the script ended with $?"
sync
poweroff -f
END
exec switch_root /mnt /bin/sh /start
