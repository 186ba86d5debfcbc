package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capabilities are what packaging needs of root's rights.
var capabilities = [...]uint{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETFCAP, unix.CAP_MKNOD,
}

// refused are the system calls that no script has a use for, and that could
// change the sandbox or have had holes: EPERM.
var refused = [...]uint32{
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_BPF, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_VHANGUP, unix.SYS_FANOTIFY_INIT,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// limits of each script and what it starts.
var limits = [...]struct {
	what int
	most uint64
}{
	{unix.RLIMIT_NPROC, 512},
	{unix.RLIMIT_NOFILE, 4096},
	{unix.RLIMIT_FSIZE, 8 << 30},
	{unix.RLIMIT_CORE, 0},
	{unix.RLIMIT_MEMLOCK, 64 << 10},
}

// confine gives up all rights but those above, for the calling thread, which
// then becomes the script.
func confine() error {
	for _, l := range limits {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("setting a limit: %w", err)
		}
	}
	var kept [2]uint32
	for _, c := range capabilities {
		kept[c/32] |= 1 << (c % 32)
	}
	for c := uint(0); ; c++ {
		if kept[min(c/32, 1)]&(1<<(c%32)) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err == unix.EINVAL {
			break // there are no more
		} else if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	var sets [2]unix.CapUserData
	for i := range sets {
		sets[i] = unix.CapUserData{Effective: kept[i], Permitted: kept[i]}
	}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	filter := systemCalls()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("filtering system calls: %w", err)
	}
	return nil
}

// systemCalls is the filter (seccomp(2)): calls of another machine's, and those
// that are refused, fail with EPERM; clone must not make namespaces, and
// clone3, whose flags a filter cannot see, is not known.
func systemCalls() []unix.SockFilter {
	const (
		numberAt, archAt, firstArgAt = 0, 4, 16

		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		above = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		has   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end   = unix.BPF_RET | unix.BPF_K

		namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
		x32        = 0x40000000
		no         = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		unknown    = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	f := []unix.SockFilter{
		{Code: load, K: archAt},
		{Code: equal, K: arch, Jt: 1},
		{Code: end, K: no},
		{Code: load, K: numberAt},
		{Code: above, K: x32, Jf: 1},
		{Code: end, K: no},
		{Code: equal, K: unix.SYS_CLONE3, Jf: 1},
		{Code: end, K: unknown},
	}
	for _, call := range refused {
		f = append(f, unix.SockFilter{Code: equal, K: call, Jf: 1}, unix.SockFilter{Code: end, K: no})
	}
	return append(f,
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jf: 3},
		unix.SockFilter{Code: load, K: firstArgAt},
		unix.SockFilter{Code: has, K: namespaces, Jf: 1},
		unix.SockFilter{Code: end, K: no},
		unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW},
	)
}
