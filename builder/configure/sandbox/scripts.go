package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runScripts runs one job after another, and ends with the first that fails.
func runScripts(r request) []Result {
	var results []Result
	for _, j := range r.Jobs {
		if j.Triggered {
			names := activated(j.Package)
			if len(names) == 0 {
				continue
			}
			j.Args = append(slices.Clone(j.Args), strings.Join(names, " "))
			j.When += " " + strings.Join(names, " ")
		}
		result := runScript(j, r)
		results = append(results, result)
		if result.Status != 0 {
			break
		}
	}
	if len(r.Jobs) > 0 {
		forgetActivated()
	}
	return results
}

// outputLines is how much of what a failed script said is reported.
const outputLines = 10

func runScript(j job, r request) Result {
	result := Result{Package: j.Package, Script: j.When, Status: 125}
	fail := func(err error) Result {
		result.Output = err.Error()
		return result
	}
	file, err := scriptFile(j)
	if err != nil {
		return fail(err)
	}
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	output := os.NewFile(uintptr(fd), "output")
	defer output.Close()
	ctx, cancel := context.WithTimeout(context.Background(), r.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append(append([]string{arg0, stageScript}, j.Interpreter...), file)
	cmd.Args = append(cmd.Args, j.Args...)
	cmd.Env, cmd.Dir = environment(j, r.Epoch), "/"
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Run()
	clear()
	if cmd.ProcessState == nil {
		return fail(err)
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		result.Status = 128 + int(status.Signal())
	} else {
		result.Status = status.ExitStatus()
	}
	if result.Status != 0 {
		result.Output = last(output)
		if ctx.Err() != nil {
			result.Output += fmt.Sprintf("\nit took longer than %s", r.Limit)
		}
	}
	return result
}

// clear ends what the script left running.
func clear() {
	unix.Kill(-1, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			return
		}
	}
}

func last(output *os.File) string {
	const most = 8 << 10
	end, err := output.Seek(0, 2)
	if err != nil {
		return ""
	}
	data := make([]byte, min(end, most))
	n, _ := output.ReadAt(data, end-int64(len(data)))
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(data[:n]), "?")), "\n")
	return strings.Join(lines[max(0, len(lines)-outputLines):], "\n")
}

const database = "/var/lib/dpkg"

// scriptFile is where the script is. Debconf finds a package's templates by
// the name of its script in dpkg's database.
func scriptFile(j job) (string, error) {
	for _, name := range []string{j.Package, j.Package + ":" + j.Arch} {
		at := path.Join(database, "info", name+"."+j.Name)
		if have, err := os.ReadFile(at); err == nil && string(have) == j.Text {
			return at, nil
		}
	}
	folder := "/run/scripts"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	at := path.Join(folder, path.Base(j.Package)+"."+j.Name)
	return at, os.WriteFile(at, []byte(j.Text), 0o755)
}

func environment(j job, epoch int64) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC", "TERM=dumb",
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(epoch, 10),
		"SYSTEMD_OFFLINE=1",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"DPKG_ADMINDIR=" + database, "DPKG_ROOT=", "DPKG_RUNNING_VERSION=1.21.22",
		"DPKG_MAINTSCRIPT_NAME=" + j.Name, "DPKG_MAINTSCRIPT_PACKAGE=" + j.Package,
		"DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1", "DPKG_MAINTSCRIPT_ARCH=" + j.Arch, "DPKG_MAINTSCRIPT_DEBUG=0",
	}
}

// unincorporated is where dpkg-trigger notes what was activated: a trigger and
// who waits for it, a line.
const unincorporated = database + "/triggers/Unincorp"

// activated are the triggers that a package is interested in, of those that
// scripts activated.
func activated(name string) []string {
	data, err := os.ReadFile(unincorporated)
	if err != nil {
		return nil
	}
	found := map[string]bool{}
	for line := range bytes.Lines(data) {
		words := strings.Fields(string(line))
		if len(words) > 0 && interested(words[0], name) {
			found[words[0]] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// interested reads triggers/NAME, which has a package a line, or for paths
// triggers/File, which has a path before it.
func interested(trigger, name string) bool {
	file, paths := trigger, strings.HasPrefix(trigger, "/")
	if paths {
		file = "File"
	}
	data, err := os.ReadFile(path.Join(database, "triggers", path.Base(file)))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(data) {
		words := strings.Fields(string(line))
		if paths && len(words) > 0 {
			if words[0] != trigger && !strings.HasPrefix(trigger, words[0]+"/") {
				continue
			}
			words = words[1:]
		}
		if len(words) == 0 {
			continue
		}
		package_, _, _ := strings.Cut(words[0], "/")
		if package_, _, _ = strings.Cut(package_, ":"); package_ == name {
			return true
		}
	}
	return false
}

func forgetActivated() {
	if info, err := os.Lstat(unincorporated); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		os.Truncate(unincorporated, 0)
	}
}
