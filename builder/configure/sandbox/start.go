package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	ids = 65536
	// hostIDs is the first host id of the range, above those that systemd-nspawn
	// takes for containers (https://systemd.io/UIDS-GIDS/).
	hostIDs = 0x70000000

	// What the program is called when it runs itself, and then does.
	arg0        = "proa-sandbox"
	stageWait   = "wait"   // for its ids, then begin anew
	stageInside = "inside" // unpack, run scripts, answer
	stageScript = "script" // give up rights, become the script

	fdReady, fdProgram = 3, 4
)

// process is the first process of a sandbox. All others end with it.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	faults  bytes.Buffer
	program *os.File
}

// start begins a sandbox, whose first process waits for a request.
func start(ctx context.Context) (*process, error) {
	program, err := sealed()
	if err != nil {
		return nil, fmt.Errorf("sandbox: copying the program to memory: %w", err)
	}
	p := &process{program: program}
	ready, release, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	defer release.Close()
	path := "/proc/self/fd/" + strconv.Itoa(fdProgram)
	p.cmd = exec.CommandContext(ctx, path)
	p.cmd.Args = []string{arg0, stageWait}
	p.cmd.Env, p.cmd.Dir = []string{}, "/"
	p.cmd.ExtraFiles = []*os.File{ready, program}
	p.cmd.Stderr = &p.faults
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	if os.Geteuid() == 0 {
		maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostIDs, Size: ids}}
		p.cmd.SysProcAttr.UidMappings, p.cmd.SysProcAttr.GidMappings = maps, maps
		p.cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		p.cmd.SysProcAttr.Credential = &syscall.Credential{}
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	// The signal that ends the child is sent when this thread ends.
	runtime.LockOSThread()
	if err := p.cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		program.Close()
		return nil, fmt.Errorf("no sandbox: making namespaces: %w", err)
	}
	if os.Geteuid() != 0 {
		if err := mapIDs(ctx, p.cmd.Process.Pid); err != nil {
			p.stop()
			return nil, err
		}
	}
	if _, err := release.Write([]byte{1}); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// stop ends all processes of the sandbox.
func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.program.Close()
	runtime.UnlockOSThread()
}

// fault is an error of the conversation, with what the sandbox said last.
func (p *process) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	if said := strings.TrimSpace(p.faults.String()); said != "" {
		return fmt.Errorf("sandbox: %s", lastLine(said))
	}
	return fmt.Errorf("sandbox: %w", err)
}

// sealed is a copy of this program that nobody can change.
func sealed() (*os.File, error) {
	fd, err := unix.MemfdCreate("proa", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "proa")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	defer self.Close()
	if _, err := io.Copy(file, self); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// mapIDs gives an ordinary user's sandbox its ids: the user's own as root, and
// those that /etc/subuid lends.
func mapIDs(ctx context.Context, pid int) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	for _, kind := range []struct{ program, file, own string }{
		{"newuidmap", "/etc/subuid", me.Uid}, {"newgidmap", "/etc/subgid", me.Gid},
	} {
		program, err := exec.LookPath(kind.program)
		if err != nil {
			return errNoPrograms
		}
		lent, err := os.ReadFile(kind.file)
		if err != nil {
			return fmt.Errorf("%w: %w", errNoPrograms, err)
		}
		first, count := lentRange(string(lent), me.Username, me.Uid)
		if count < ids-1 {
			return fmt.Errorf("%w: %s lends %s %d ids, want %d", errNoPrograms, kind.file, me.Username, count, ids-1)
		}
		out, err := exec.CommandContext(ctx, program, strconv.Itoa(pid), "0", kind.own, "1", "1", strconv.Itoa(first), strconv.Itoa(ids-1)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("no sandbox: %s: %w: %s", kind.program, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// lentRange is a user's first range in a file like /etc/subuid (subuid(5)).
func lentRange(text, name, id string) (first, count int) {
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != id {
			continue
		}
		from, err1 := strconv.Atoi(fields[1])
		n, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil {
			return from, n
		}
	}
	return 0, 0
}
