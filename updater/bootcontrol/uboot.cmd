# proa's boot script for U-Boot: starts the committed slot, or a slot on trial
# for once. Make a boot.scr of it:
#
#   mkimage -T script -C none -A arm64 -d uboot.cmd boot.scr
#
# Its variables in the environment:
#
#   proa_slot    the committed slot, a or b
#   proa_once    the slot to try, a or b; absent for none
#   proa_booted  the slot that was started last; written here, read by the agent
#
# Where bootlimit is set, U-Boot counts boots while upgrade_available is 1. That
# guards against a saveenv that only seems to work: the count then passes the limit,
# and altbootcmd starts the committed slot. It has to be
#
#   setenv altbootcmd 'setenv proa_once; run bootcmd'

if test -z "${devtype}"; then devtype=mmc; fi
if test -z "${devnum}"; then devnum=0; fi
if test -z "${distro_bootpart}"; then distro_bootpart=1; fi

# The trial ends before it starts, and where that cannot be written it does not
# start at all: whatever happens from here on, the next boot is the committed
# slot.
proa_try=
if test "${proa_once}" = a; then proa_try=a; fi
if test "${proa_once}" = b; then proa_try=b; fi
if test -n "${proa_try}"; then
	setenv proa_once
	setenv proa_booted ${proa_try}
	if test -n "${bootlimit}"; then setenv upgrade_available 0; fi
	if saveenv; then
		if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} EFI/Linux/proa-${proa_try}.efi; then
			bootefi ${kernel_addr_r}
		fi
	fi
	# It does not load, or came back.
fi

# The slot behind the committed one is for the day when the committed kernel
# image is gone. Without an environment it is slot a that comes first.
proa_first=a
proa_second=b
if test "${proa_slot}" = b; then
	proa_first=b
	proa_second=a
fi
for proa_try in ${proa_first} ${proa_second}; do
	if test "${proa_booted}" != "${proa_try}"; then
		setenv proa_booted ${proa_try}
		saveenv
	fi
	if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} EFI/Linux/proa-${proa_try}.efi; then
		bootefi ${kernel_addr_r}
	fi
done

# A medium that did not answer may do so later.
echo "proa: no kernel image starts; trying again in 30 seconds"
sleep 30
reset
