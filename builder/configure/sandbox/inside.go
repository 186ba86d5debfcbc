package sandbox

import (
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// root is where the tree is made, on top of a folder that every host has; no
// other process sees that.
const root = "/tmp"

var devices = [...]string{"null", "zero", "full", "random", "urandom", "tty"}

// inside is the first process of the sandbox: it makes the root folder, runs
// the scripts and says what they changed.
func inside() error {
	// So that no script can look into this process.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	unix.CloseOnExec(fdProgram)
	s := newStream(os.Stdin, os.Stdout)
	var r request
	if err := s.d.Decode(&r); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	if err := enter(); err != nil {
		return err
	}
	u := &unpacker{stream: s, made: map[string]*item{}, stamps: map[string]stamp{}}
	if err := u.unpack(); err != nil {
		return err
	}
	if err := u.prepare(); err != nil {
		return err
	}
	if err := s.e.Encode(answer{Results: runScripts(r)}); err != nil {
		return err
	}
	if err := u.collect(); err != nil {
		return err
	}
	return s.w.Flush()
}

// enter makes the new root folder and leaves the host's.
func enter() error {
	mount := func(what, at, kind string, flags uintptr, data string) error {
		if err := unix.Mount(what, at, kind, flags, data); err != nil {
			return fmt.Errorf("no sandbox: mounting %s: %w", at, err)
		}
		return nil
	}
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Together, scripts can fill half of the host's memory.
	if err := mount("sandbox", root, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0755,size=40%"); err != nil {
		return err
	}
	unix.Umask(0)
	for _, folder := range []string{"/dev", "/proc", "/run", "/tmp"} {
		if err := os.Mkdir(root+folder, 0o755); err != nil {
			return err
		}
	}
	if err := mount("proc", root+"/proc", "proc", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := mount("dev", root+"/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=1m"); err != nil {
		return err
	}
	for _, name := range devices {
		at := path.Join(root, "dev", name)
		if err := os.WriteFile(at, nil, 0o666); err != nil {
			return err
		}
		if err := mount("/dev/"+name, at, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, path.Join(root, "dev", name)); err != nil {
			return err
		}
	}
	for _, at := range []string{"/run", "/tmp"} {
		if err := mount("sandbox", root+at, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size=5%"); err != nil {
			return err
		}
	}
	if err := os.Chmod(root+"/tmp", 0o1777); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("no sandbox: leaving the host's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("no sandbox: leaving the host's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Sethostname([]byte("proa"))
}
