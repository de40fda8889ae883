# Played in the virtual machine, as root. Each `try` is a section of the output: its name, what the command says, its exit code.
try() {
    name=$1
    shift
    echo "@ $name"
    "$@" 2>&1
    echo "@ = $?"
}
export NO_COLOR=1
none="--network none"
values='cd /sys/fs/cgroup && cat memory.max memory.swap.max pids.max cpu.max'

try doctor kiln doctor
try base kiln build --progress plain -t base /root/base
try limits kiln run --rm $none --memory 32m --memory-swap 32m --pids-limit 20 --cpus 0.5 base sh -c "$values"
try oom kiln run --name oom $none --memory 16m base sh -c 'head -c 64000000 /dev/zero | tail'
try oom-state kiln inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' oom
try oom-removed kiln rm oom
try pids kiln run --rm $none --pids-limit 5 base sh -c 'for n in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait'
try steps kiln build --progress plain --network none -t steps /root/steps
try steps-seen kiln run --rm --read-only $none steps sh -c 'ls / && cat /one && ! touch /new'
try cgroups-left find /sys/fs/cgroup/kiln -mindepth 1 -type d

# An ordinary user, as systemd would delegate a cgroup to it.
delegated=/sys/fs/cgroup/delegated
echo '+cpu +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
mkdir $delegated
for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do chown user:user $delegated/$file; done
as_user() { su user -c "export PATH=$PATH NO_COLOR=1; cd; $1"; }
in_delegated() { sh -c "echo \$\$ > $delegated/cgroup.procs && exec su user -c \"export PATH=$PATH NO_COLOR=1; cd; exec \$0\"" "$1"; }
mkdir -p /home/user && chown user:user /home/user
try user-base as_user "kiln build --progress plain -t base /root/base"
try user-not-delegated as_user "kiln run --rm $none --memory 32m base echo ran"
try user-limits in_delegated "kiln run --rm $none --memory 32m --memory-swap 32m --pids-limit 20 --cpus 0.5 base sh -c '$values'"
try user-steps as_user "kiln build --progress plain --network none -t steps /root/steps"
try user-steps-seen as_user "kiln run --rm $none steps sh -c 'ls / && cat /one'"

# AppArmor.
attributes='cat /proc/self/attr/current; mkdir -p /denied; touch /denied/file && echo written'
try no-profile kiln run --rm $none base sh -c "$attributes"
try not-loaded kiln run --rm $none --security-opt apparmor=nothing base true
try load apparmor_parser --replace --skip-cache /root/profile
try profile kiln run --rm $none base sh -c "$attributes"
try unconfined kiln run --rm $none --security-opt apparmor=unconfined base sh -c "$attributes"
try privileged kiln run --rm $none --privileged base cat /proc/self/attr/current
try step-profile kiln build --progress plain --network none /root/attributes
try started kiln run -d --name kept $none --init base sleep 100
try exec-profile kiln exec kept cat /proc/self/attr/current
try ended kiln rm --force kept
