// Package capabilities turns the capabilities of a file, in words, into the
// value of its extended attribute, and back.
package capabilities

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// names are Linux's capabilities by their number (capabilities(7),
// include/uapi/linux/capability.h).
var names = [...]string{
	"cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner", "cap_fsetid", "cap_kill", "cap_setgid",
	"cap_setuid", "cap_setpcap", "cap_linux_immutable", "cap_net_bind_service", "cap_net_broadcast", "cap_net_admin",
	"cap_net_raw", "cap_ipc_lock", "cap_ipc_owner", "cap_sys_module", "cap_sys_rawio", "cap_sys_chroot",
	"cap_sys_ptrace", "cap_sys_pacct", "cap_sys_admin", "cap_sys_boot", "cap_sys_nice", "cap_sys_resource",
	"cap_sys_time", "cap_sys_tty_config", "cap_mknod", "cap_lease", "cap_audit_write", "cap_audit_control",
	"cap_setfcap", "cap_mac_override", "cap_mac_admin", "cap_syslog", "cap_wake_alarm", "cap_block_suspend",
	"cap_audit_read", "cap_perfmon", "cap_bpf", "cap_checkpoint_restore",
}

const (
	all     = 1<<len(names) - 1
	maxText = 4096
)

// Value is the value of the extended attribute security.capability,
// vfs_cap_data of revision 2, for capabilities in the words of
// cap_from_text(3): "cap_net_raw,cap_net_admin=ep". Text without capabilities
// gives an empty value.
func Value(text string) (string, error) {
	if len(text) > maxText {
		return "", fmt.Errorf("capabilities of %d bytes: want at most %d", len(text), maxText)
	}
	sets := map[rune]uint64{}
	for _, clause := range strings.Fields(text) {
		if err := applyClause(sets, clause); err != nil {
			return "", fmt.Errorf("capabilities %q: %w", text, err)
		}
	}
	effective, permitted, inheritable := sets['e'], sets['p'], sets['i']
	if permitted|inheritable == 0 && effective == 0 {
		return "", nil
	}
	magic := uint32(revision2)
	if effective != 0 {
		// The kernel has one bit for all: cap_set_file(3) refuses the same.
		if effective != permitted|inheritable {
			return "", fmt.Errorf("capabilities %q: want effective none or all that are permitted or inheritable", text)
		}
		magic |= effectiveBit
	}
	var out []byte
	for _, word := range []uint32{magic, uint32(permitted), uint32(inheritable), uint32(permitted >> 32), uint32(inheritable >> 32)} {
		out = binary.LittleEndian.AppendUint32(out, word)
	}
	return string(out), nil
}

// applyClause changes the sets e, p and i as one clause says: names, then
// operators (= + -) with flags each.
func applyClause(sets map[rune]uint64, clause string) error {
	at := strings.IndexAny(clause, "=+-")
	if at < 0 {
		return fmt.Errorf("%q has none of = + -", clause)
	}
	list, rest := clause[:at], clause[at:]
	mask, err := maskOf(list)
	if err != nil {
		return err
	}
	if list == "" && rest[0] != '=' {
		return fmt.Errorf("%q changes nothing: want names before %c", clause, rest[0])
	}
	var op rune
	for _, r := range rest {
		switch {
		case r == '=':
			for _, set := range "eip" {
				sets[set] &^= mask
			}
			op = '+'
		case r == '+' || r == '-':
			op = r
		case !strings.ContainsRune("eip", r):
			return fmt.Errorf("flag %q: want e, i or p", r)
		case op == '+':
			sets[r] |= mask
		default:
			sets[r] &^= mask
		}
	}
	return nil
}

// maskOf are the capabilities of a list of names; no name means all.
func maskOf(list string) (uint64, error) {
	if list == "" || strings.EqualFold(list, "all") {
		return all, nil
	}
	var mask uint64
	for name := range strings.SplitSeq(list, ",") {
		number := slices.Index(names[:], strings.ToLower(name))
		if number < 0 {
			return 0, fmt.Errorf("%q is not a capability of Linux", name)
		}
		mask |= 1 << number
	}
	return mask, nil
}
