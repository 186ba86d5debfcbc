package rehearsal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// socketInode finds the socket whose own end is from and whose other end is to, both
// of IPv4, in the kernel's table (proc_pid_net(5)).
func socketInode(from, to netip.AddrPort) (string, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	return findInode(table, from, to)
}

func findInode(table []byte, from, to netip.AddrPort) (string, error) {
	const local, remote, inode = 1, 2, 9 // columns
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		columns := bytes.Fields(lines.Bytes())
		if len(columns) > inode && string(columns[local]) == tableAddress(from) && string(columns[remote]) == tableAddress(to) {
			return string(columns[inode]), nil
		}
	}
	return "", fmt.Errorf("no connection from %s to %s", from, to)
}

// tableAddress is an address as the table has it: its four bytes as one number in
// this machine's order.
func tableAddress(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), a.Port())
}

// holdsSocket reports whether a process of this user has the socket open.
func holdsSocket(process int, inode string) bool {
	folder := filepath.Join("/proc", strconv.Itoa(process), "fd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false // it has ended
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(folder, e.Name())); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
