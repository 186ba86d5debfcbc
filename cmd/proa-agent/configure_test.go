package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAMachineFetchesItsConfigurationAndReboots runs what proa-configure.service
// runs, with a systemctl that only notes how it was called, and then what
// proa-init runs in the next boot.
func TestAMachineFetchesItsConfigurationAndReboots(t *testing.T) {
	const config = "#cloud-config\nhostname: edge-7\n"
	answer := "not this"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"root/etc/hostname": "image\n", "root/var/lib/x": "", "run/x": "",
		"boot.json": `{"disk": "/dev/none", "etc": "volatile", "var": "volatile"}`, "image.json": `{"version": "1.0.0"}`,
		"cmdline":       fmt.Sprintf("quiet proa.roothash=%064x proa.salt=%064x proa.blocks=8 proa.config=%s/x proa.config.sha256=%x\n", 1, 2, server.URL, sha256.Sum256([]byte(config))),
		"host":          fmt.Sprintf("root: %[1]s/root\nrun: %[1]s/run\nboot: %[1]s/boot.json\ncmdline: %[1]s/cmdline\nimage: %[1]s/image.json\n", dir),
		"bin/systemctl": "#!/bin/sh\necho \"$@\" >> " + dir + "/called\n",
	} {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(content), 0o755))
	}
	agent := func(flag string, wantCode int, want string) {
		t.Helper()
		args := []string{program(t), "--host", filepath.Join(dir, "host"), "configure", flag}
		if os.Geteuid() != 0 { // files are given to root
			args = append([]string{"unshare", "--user", "--map-root-user", "--"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != wantCode || !strings.Contains(string(out), want) {
			t.Fatalf("configure %s: exit code %d: %s; want %d, %s", flag, cmd.ProcessState.ExitCode(), out, wantCode, want)
		}
	}
	has := func(name, want string) {
		t.Helper()
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	waits := func() bool {
		_, err := os.Stat(filepath.Join(dir, "run/configure-waits"))
		return err == nil
	}
	// It would be fetched, and lost, in each boot.
	agent("--at-boot", 1, "/var is in memory")
	if waits() {
		t.Error("it waits for what would be lost")
	}
	check(t, os.WriteFile(filepath.Join(dir, "boot.json"), []byte(`{"disk": "/dev/none", "etc": "persistent", "var": "persistent"}`), 0o600))
	agent("--at-boot", 0, "configuration: waits: URL "+server.URL)
	if !waits() {
		t.Error("it does not wait")
	}
	agent("--fetch", 1, "proa.config.sha256= says")
	has("called", "")
	answer = config
	agent("--fetch", 0, "rebooting into it")
	has("called", "--no-block reboot\n")
	has("root/etc/hostname", "image\n")
	agent("--at-boot", 0, "configuration: applied: URL "+server.URL)
	has("root/etc/hostname", "edge-7\n")
	if waits() {
		t.Error("it still waits")
	}
	agent("--at-boot", 0, "")
}
