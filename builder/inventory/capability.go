package inventory

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The extended attribute of capabilities: struct vfs_ns_cap_data of Linux's
// include/uapi/linux/capability.h, numbers little-endian.
const (
	capRevisionMask = 0xff000000
	capRevision1    = 0x01000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000 // as 2, and the user id of the namespace's root
	capEffective    = 0x000001
)

// capabilityNames is in the order of their numbers.
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
	sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
	audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)

// capabilityText is the value of the extended attribute as getcap(8) writes
// it, with the sets sorted by their flags.
func capabilityText(value string) string {
	data := []byte(value)
	sets, ok := map[uint32]int{capRevision1: 1, capRevision2: 2, capRevision3: 2}[revision(data)]
	if !ok || len(data) < 4+8*sets {
		return fmt.Sprintf("unreadable %x", value)
	}
	byFlags := map[string][]string{}
	for number := range 32 * sets {
		at, bit := 4+number/32*8, uint32(1)<<(number%32)
		flags := ""
		permitted := binary.LittleEndian.Uint32(data[at:])&bit != 0
		inheritable := binary.LittleEndian.Uint32(data[at+4:])&bit != 0
		if binary.LittleEndian.Uint32(data)&capEffective != 0 && (permitted || inheritable) {
			flags += "e"
		}
		if inheritable {
			flags += "i"
		}
		if permitted {
			flags += "p"
		}
		if flags != "" {
			byFlags[flags] = append(byFlags[flags], capabilityName(number))
		}
	}
	var parts []string
	for flags, names := range byFlags {
		parts = append(parts, strings.Join(names, ",")+"="+flags)
	}
	slices.Sort(parts)
	text := strings.Join(parts, " ")
	if revision(data) == capRevision3 && len(data) >= 24 {
		text += fmt.Sprintf(" [rootid=%d]", binary.LittleEndian.Uint32(data[20:]))
	}
	return text
}

func revision(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(data) & capRevisionMask
}

func capabilityName(number int) string {
	if number < len(capabilityNames) {
		return "cap_" + capabilityNames[number]
	}
	return fmt.Sprintf("cap_%d", number)
}
