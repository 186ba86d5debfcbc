package packaging

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestThePackagesHoldTheSameAndComeOutTheSameAgain(t *testing.T) {
	folder, again := t.TempDir(), t.TempDir()
	command(t, "", "./build", folder, runtime.GOARCH)
	command(t, "", "./build", again, runtime.GOARCH)
	for _, format := range []string{"deb", "rpm"} {
		one, other := readFile(t, onlyOne(t, folder, format)), readFile(t, onlyOne(t, again, format))
		if !bytes.Equal(one, other) {
			t.Errorf("the %s package differs from itself, built again", format)
		}
	}

	deb, rpm := debFiles(t, onlyOne(t, folder, "deb")), rpmFiles(t, onlyOne(t, folder, "rpm"))
	if !slices.Equal(deb, rpm) {
		t.Errorf("the Debian package has\n%s\nand the RPM package\n%s", strings.Join(deb, "\n"), strings.Join(rpm, "\n"))
	}
	for _, want := range []string{
		"/usr/bin/proa", "/usr/bin/proa-agent", "/usr/lib/proa/proa", "/usr/lib/proa/proa-agent", "/usr/lib/proa/proa-init",
		"/usr/share/man/man1/proa-build.1.gz", "/usr/share/man/man1/proa-agent-status.1.gz",
		"/usr/share/bash-completion/completions/proa", "/usr/share/fish/vendor_completions.d/proa.fish", "/usr/share/zsh/_proa",
		"/usr/share/doc/proa/copyright",
	} {
		if !slices.Contains(deb, want) {
			t.Errorf("the packages have no %s", want)
		}
	}
	checkInstalled(t, onlyOne(t, folder, "deb"))
}

// checkInstalled runs what a Debian package installs.
func checkInstalled(t *testing.T, deb string) {
	root := t.TempDir()
	command(t, "", "dpkg-deb", "-x", deb, root)
	proa := filepath.Join(root, "usr/bin/proa")
	if said := command(t, "", proa, "version"); !bytes.HasPrefix(said, []byte("proa ")) {
		t.Errorf("the installed program says %q", said)
	}
	if said := command(t, "", filepath.Join(root, "usr/bin/proa-agent"), "--version"); !bytes.HasPrefix(said, []byte("proa-agent version ")) {
		t.Errorf("the installed agent says %q", said)
	}
	script := filepath.Join(root, "usr/share/bash-completion/completions/proa")
	if out, err := exec.CommandContext(t.Context(), "bash", "-n", script).CombinedOutput(); err != nil {
		t.Errorf("bash cannot read its completion: %v\n%s", err, out)
	}
}

// onlyOne is the path of the one file of a format in a folder.
func onlyOne(t *testing.T, folder, format string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*."+format))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s packages: %v (%v), want one", format, found, err)
	}
	return found[0]
}

// debFiles are the files and links of a Debian package, sorted, by dpkg's reading.
func debFiles(t *testing.T, deb string) []string {
	var files []string
	for line := range strings.Lines(string(command(t, "", "dpkg-deb", "-c", deb))) {
		fields := strings.Fields(line)
		if owner := fields[1]; owner != "root/root" {
			t.Errorf("%s: %s", owner, line)
		}
		if !strings.HasPrefix(line, "d") {
			files = append(files, strings.TrimPrefix(fields[5], "."))
		}
	}
	return sorted(files)
}

// rpmFiles are the same of an RPM package, by rpm's reading.
func rpmFiles(t *testing.T, rpm string) []string {
	var files []string
	for line := range strings.Lines(string(command(t, "", "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]", rpm))) {
		fields := strings.Fields(line)
		if owner := fields[1]; owner != "root" {
			t.Errorf("%s: %s", owner, line)
		}
		if !strings.HasPrefix(line, "d") {
			files = append(files, fields[2])
		}
	}
	return sorted(files)
}

// sorted sorts files. Where zsh looks differs between distributions.
func sorted(files []string) []string {
	for i, file := range files {
		file = strings.Replace(file, "/zsh/vendor-completions/", "/zsh/", 1)
		files[i] = strings.Replace(file, "/zsh/site-functions/", "/zsh/", 1)
	}
	slices.Sort(files)
	return files
}
