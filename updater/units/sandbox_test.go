package units

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// folder has the units, made to run a program that every machine has.
func folder(t *testing.T) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range Files() {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte("/usr/bin/proa-agent"), []byte("/bin/true")), 0o644))
		paths = append(paths, path)
	}
	return dir, paths
}

func TestSystemdFindsNoFaultInTheUnits(t *testing.T) {
	_, paths := folder(t)
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestDaemonIsWellConfined holds what systemd-analyze makes of the sandbox: 0 is
// the best, 100 none at all.
func TestDaemonIsWellConfined(t *testing.T) {
	const threshold = "31"
	dir, _ := folder(t)
	for _, name := range []string{"proa-agent.service", "proa-agent-poll.service"} {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold="+threshold, filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Errorf("%s is exposed more than %s of 100: %v\n%s", name, threshold, err, out)
		}
	}
}

func TestOnePollIsConfinedAsTheDaemonIs(t *testing.T) {
	sandbox := func(name string) string {
		content := string(Files()[name])
		from, to := strings.Index(content, "MemoryMax="), strings.Index(content+"\n[Install]", "\n[Install]")
		if from < 0 {
			t.Fatalf("%s has no sandbox", name)
		}
		return strings.TrimSpace(content[from:to])
	}
	if sandbox("proa-agent.service") != sandbox("proa-agent-poll.service") {
		t.Error("proa-agent-poll.service has another sandbox than proa-agent.service")
	}
}

// TestSandboxAllowsWhatAnUpdateDoes knows what the program needs, by the system
// calls that it makes beside those of every service.
func TestSandboxAllowsWhatAnUpdateDoes(t *testing.T) {
	content := string(Files()["proa-agent.service"])
	_, filter, _ := strings.Cut(content, "\nSystemCallFilter=")
	filter, _, _ = strings.Cut(filter, "\n")
	allowed := map[string]bool{}
	for _, word := range strings.Fields(filter) {
		expand(t, word, allowed)
	}
	for _, call := range []string{
		"mount", "umount2", "open_tree", "reboot", "flock", "ioctl", "fadvise64", "copy_file_range", "sync_file_range",
		"syncfs", "fdatasync", "statfs", "clock_gettime", "clone", "execve", "epoll_pwait", "futex", "mmap", "madvise",
		"pidfd_open", "pidfd_send_signal", "waitid", "prctl", "getrandom", "recvmsg", "sendmsg", "socket", "kill", "tgkill",
	} {
		if !allowed[call] {
			t.Errorf("the filter %q does not allow %s", filter, call)
		}
	}
	for _, call := range []string{"init_module", "clock_settime", "swapon", "bpf", "ptrace", "kexec_load"} {
		if allowed[call] {
			t.Errorf("the filter %q allows %s", filter, call)
		}
	}
}

func expand(t *testing.T, word string, into map[string]bool) {
	t.Helper()
	if !strings.HasPrefix(word, "@") {
		into[word] = true
		return
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", word).Output()
	check(t, err)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line != "" && line != word && !strings.HasPrefix(line, "#") {
			expand(t, line, into)
		}
	}
}
