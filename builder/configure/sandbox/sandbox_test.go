package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/configure/sandbox"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/machine/debian"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	code := m.Run()
	if folder, _ := base(); folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// base unpacks what scripts need of a real root, once.
var base = sync.OnceValues(func() (folder string, err error) {
	dir, err := debian.CheckoutDir()
	if err != nil {
		return "", err
	}
	root, err := debian.Root(context.Background(), debian.Config{Dir: dir})
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("", "sandbox-test-"); err != nil {
		return "", err
	}
	out, err := exec.Command("tar", "-xf", root, "-C", folder, "--no-same-owner", "--wildcards", "./bin", "./sbin", "./lib", "./lib64",
		"./etc/passwd", "./etc/group", "./var/lib/dpkg/alternatives", "./usr/bin/*",
		"./usr/lib/x86_64-linux-gnu/lib[a-z]*.so*", "./usr/lib/x86_64-linux-gnu/perl-base",
		"./usr/lib/x86_64-linux-gnu/ld-*", "./usr/lib64", "./usr/sbin/chroot", "./etc/ld.so.conf").CombinedOutput()
	if err != nil {
		return folder, fmt.Errorf("tar: %w: %s", err, out)
	}
	return folder, nil
})

func newTree(t *testing.T) (*tree.Tree, *content.Store) {
	t.Helper()
	dir, err := base()
	if err != nil {
		t.Fatal(err)
	}
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	into := tree.New()
	err = filepath.WalkDir(dir, func(at string, d os.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n := &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: "base"}
		switch {
		case d.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			n = &tree.Node{Kind: tree.Symlink, Mode: 0o777, Source: "base", Target: target}
		case d.Type().IsRegular():
			file, err := store.Open(at)
			if err != nil {
				return err
			}
			n = &tree.Node{Mode: uint32(info.Mode().Perm()), Source: "base"}
			if info.Size() > 0 {
				n.Content = tree.Content{At: file, Size: info.Size()}
			}
		}
		return into.Put(strings.TrimPrefix(at, dir+"/"), n)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []struct {
		path string
		node tree.Node
	}{
		{"etc/plain", tree.Node{Mode: 0o640, UID: 1, GID: 42, Content: text("plain\n")}},
		{"etc/doomed", tree.Node{Mode: 0o644, Content: text("doomed\n")}},
		{"usr/bin/raised", tree.Node{Mode: 0o4755, Content: text("setuid\n")}},
		{"usr/bin/able", tree.Node{Mode: 0o755, Content: text("able\n"), Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}}},
		{"srv/null", tree.Node{Kind: tree.CharDevice, Mode: 0o666, Device: tree.Device{Major: 1, Minor: 3}}},
		{"var/pipe", tree.Node{Kind: tree.FIFO, Mode: 0o600}},
	} {
		n.node.Source = "base"
		if err := into.Put(n.path, &n.node); err != nil {
			t.Fatal(err)
		}
	}
	if err := into.Link("etc/again", "etc/plain"); err != nil {
		t.Fatal(err)
	}
	return into, store
}

func text(s string) tree.Content { return tree.Content{At: strings.NewReader(s), Size: int64(len(s))} }

func postinst(name, script string) packages.About {
	return packages.About{Format: packages.Deb, Name: name, Version: "1", Arch: "amd64", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: "#!/bin/sh\n" + script}}}
}

func run(t *testing.T, into *tree.Tree, store *content.Store, all ...packages.About) (sandbox.Report, error) {
	t.Helper()
	return sandbox.Run(t.Context(), into, store, sandbox.Config{Packages: all, Source: "scripts", Epoch: 1767225600, Limit: time.Minute})
}

func read(t *testing.T, from *tree.Tree, at string) string {
	t.Helper()
	data, err := from.ReadFile(at, 1<<20)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestItIsAvailable(t *testing.T) {
	if err := sandbox.Available(); err != nil {
		t.Fatal(err)
	}
}

func TestScriptsChangeTheTreeAndNothingElse(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	before := map[string]*tree.Node{}
	into.Walk(func(at string, n *tree.Node) error { before[at] = n; return nil })
	report, err := run(t, into, store, postinst("one", `set -e
test "$1" = configure; test "$2" = ""; test "$DPKG_MAINTSCRIPT_PACKAGE" = one; test "$SOURCE_DATE_EPOCH" = 1767225600; test "$(id -u)" = 0
echo new > /etc/new; chown 3:4 /etc/new; chmod 0600 /etc/new
ln -s new /etc/link; ln /etc/new /etc/hard; mkdir -p /var/lib/one; rm /etc/doomed
mkdir -p /var/log /etc/ssh; echo x > /var/log/x; echo x > /etc/machine-id; echo x > /etc/ssh/ssh_host_rsa_key; echo x > /tmp/x; echo x > /run/x; touch /usr/bin/env; cp /usr/bin/env /tmp/env; cat /tmp/env > /usr/bin/env
`), postinst("two", "test -e /etc/new && sed -i s/new/changed/ /etc/new && chmod 0711 /var/lib/one\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/hard", "etc/link", "etc/new", "etc/ssh", "var/lib/one", "var/log", "etc/doomed"}
	if !slices.Equal(report.Changed, want) {
		t.Errorf("changed %v: want %v", report.Changed, want)
	}
	if got := read(t, into, "etc/new") + read(t, into, "etc/hard"); got != "changed\nnew\n" {
		t.Errorf("files have %q", got)
	}
	if n, _ := into.Lookup("etc/new"); n.UID != 3 || n.GID != 4 || n.Mode != 0o600 || n.Source != "scripts" {
		t.Errorf("etc/new is %+v", n)
	}
	if n, _ := into.Lookup("var/lib/one"); n.Mode != 0o711 {
		t.Errorf("var/lib/one is %+v", n)
	}
	into.Walk(func(at string, n *tree.Node) error {
		if was := before[at]; was != nil && was != n {
			t.Errorf("%s is another node than before", at)
		}
		return nil
	})
	for _, at := range []string{"usr/bin/raised", "usr/bin/able", "srv/null", "var/pipe", "etc/again"} {
		if n, _ := into.Lookup(at); n == nil || n != before[at] {
			t.Errorf("%s is not what it was", at)
		}
	}
}

func TestTwoRunsMakeTheSame(t *testing.T) {
	t.Parallel()
	var lists [2][]string
	var reports [2]string
	for i := range lists {
		into, store := newTree(t)
		report, err := run(t, into, store, postinst("a", "for i in 3 1 2; do echo $i > /etc/f$i; done; mkdir /opt; cp -a /etc/plain /opt; ln /opt/plain /opt/other\n"))
		if err != nil {
			t.Fatal(err)
		}
		if lists[i], err = treetest.List(into); err != nil {
			t.Fatal(err)
		}
		reports[i] = fmt.Sprint(report)
	}
	if !slices.Equal(lists[0], lists[1]) || reports[0] != reports[1] {
		t.Errorf("two runs differ: %s and %s", reports[0], reports[1])
	}
}

func TestAFailingScriptNamesItsPackageAndLeavesTheTree(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	report, err := run(t, into, store, postinst("good", "echo x > /etc/x"), postinst("bad", "echo first; echo reason >&2; exit 3"), postinst("never", "exit 0"))
	if err == nil || !strings.Contains(err.Error(), "package bad: postinst configure") || !strings.Contains(err.Error(), "status 3: reason") {
		t.Errorf("error %v: want package, script, status and the last line", err)
	}
	if _, ok := into.Lookup("etc/x"); ok {
		t.Error("the tree was changed")
	}
	if len(report.Scripts) != 2 || report.Scripts[1].Output != "first\nreason" {
		t.Errorf("report %+v", report)
	}
}

func TestHostileScriptsAreContained(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("untouched"), 0o666); err != nil {
		t.Fatal(err)
	}
	into, store := newTree(t)
	// Each line is what must fail, or what must hold; the script goes on after each.
	checks := []string{
		"! echo x > /proc/1/root" + secret, "! cat /proc/1/environ", "! ls -L /proc/1/fd/1", "! echo x > /proc/1/fd/1", "! ls /proc/1/root/", "! test -e " + secret,
		"! mount -t tmpfs x /mnt", "! mount --bind / /mnt", "! umount /proc", "! chroot / true", "! unshare -U true", "! unshare -m true", "! nsenter -t 1 -m true",
		"! mknod /etc/disk b 8 0", "! mknod /etc/null c 1 3", "! hostname other", "! dmesg", "! date -s 2000-01-01", "! echo x > /proc/sys/kernel/hostname", "! echo b > /proc/sysrq-trigger",
		"! bash -c 'echo x > /dev/tcp/127.0.0.1/" + port + "'", "! test -e /dev/kmsg", "! test -e /dev/sda", "! test -e /sys/kernel",
		"! perl -e 'kill 9, 1; exit 1'", "grep -q '^NoNewPrivs:.1' /proc/self/status", "grep -q '^Seccomp:.2' /proc/self/status",
		"test $(ls /proc | grep -c '^[0-9]') -lt 10", "test $(ls -A /dev | wc -l) = 10", "echo x > /dev/null",
		"test $(grep '^sandbox ' /proc/mounts | grep -c 'size=') = 3", // no file system has its size by default
	}
	var script strings.Builder
	for i, check := range checks {
		fmt.Fprintf(&script, "if %s; then :; else echo 'check %d' >> /etc/failed; fi 2>/dev/null >/dev/null\n", check, i)
	}
	script.WriteString("test ! -e /etc/failed || { cat /etc/failed; exit 1; }\n")
	report, err := run(t, into, store, postinst("hostile", script.String()))
	if err != nil {
		t.Errorf("%v: %+v", err, report)
		for i, check := range checks {
			if len(report.Scripts) > 0 && strings.Contains(report.Scripts[0].Output+"\n", fmt.Sprintf("check %d\n", i)) {
				t.Errorf("check %d: %s", i, check)
			}
		}
	}
	if got, _ := os.ReadFile(secret); string(got) != "untouched" {
		t.Errorf("a file of the host has %q", got)
	}
}

func TestAForkBombAndKillAllEndWithTheirScript(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	_, err := run(t, into, store, postinst("quiet", "sleep 1000 & sleep 1000 &\nexit 0"), postinst("killer", "sleep 1000 &\nkill -9 -1; wait; exit 4"))
	if err == nil || !strings.Contains(err.Error(), "package killer: postinst configure ended with status 4") {
		t.Errorf("error %v: want that of the script that killed what it could", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = sandbox.Run(ctx, into, store, sandbox.Config{Packages: []packages.About{postinst("bomb", "b() { b | b & }; b; sleep 1000")}, Source: "s", Limit: 2 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "longer than 2s") {
		t.Errorf("error %v: want that of the time limit", err)
	}
}

func TestCancellingEndsEverything(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := sandbox.Run(ctx, into, store, sandbox.Config{Packages: []packages.About{postinst("slow", "exec sleep 98765")}, Source: "s"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v: want that of the context", err)
	}
	if out, _ := exec.Command("pgrep", "-f", "^sleep 98765").Output(); len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("processes %s are left", out)
	}
}

func TestScriptsInLuaAreReported(t *testing.T) {
	into, store := newTree(t)
	lua := packages.About{Format: packages.RPM, Name: "l", Scripts: []packages.Script{{When: "%pre", Interpreter: "<lua>", Text: "x"}, {When: "%post", Interpreter: "/bin/sh", Text: "test $1 = 1 && echo $1 > /etc/rpm\n"}}}
	report, err := run(t, into, store, lua)
	if err != nil || len(report.Scripts) != 2 || report.Scripts[0].NotRun == "" || read(t, into, "etc/rpm") != "1\n" {
		t.Errorf("report %+v, error %v", report, err)
	}
}

func TestDebianToolsWork(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	for at, body := range map[string]string{
		"usr/lib/systemd/system/x.service": "[Unit]\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"usr/bin/choice.one":               "1", "var/lib/dpkg/status": "\n", "var/lib/dpkg/triggers/File": "/usr/share/watched waiter\n", "var/lib/dpkg/triggers/named": "waiter/noawait\n",
		"var/lib/dpkg/triggers/Unincorp": "", "var/lib/dpkg/info/format": "1\n", "var/lib/dpkg/triggers/Lock": "",
	} {
		n := &tree.Node{Mode: 0o644, Source: "base"}
		if body != "" {
			n.Content = text(body)
		}
		if err := into.Put(at, n); err != nil {
			t.Fatal(err)
		}
	}
	report, err := run(t, into, store,
		postinst("waiter", `echo "$@" >> /etc/waited`),
		postinst("x", `set -e
update-alternatives --install /usr/bin/choice choice /usr/bin/choice.one 10
deb-systemd-helper enable x.service
dpkg-trigger named
dpkg-trigger /usr/share/watched/thing
dpkg-trigger nobody
! /usr/sbin/policy-rc.d
`))
	if err != nil {
		t.Fatalf("%v: %+v", err, report)
	}
	if got := read(t, into, "etc/waited"); got != "configure \ntriggered /usr/share/watched/thing named\n" {
		t.Errorf("the waiting package was called with %q", got)
	}
	for _, at := range []string{"etc/alternatives/choice", "usr/bin/choice", "etc/systemd/system/multi-user.target.wants/x.service"} {
		if n, ok := into.Lookup(at); !ok || n.Kind != tree.Symlink {
			t.Errorf("%s is not a link", at)
		}
	}
	if _, ok := into.Lookup("usr/sbin/policy-rc.d"); ok {
		t.Error("policy-rc.d is left")
	}
	if read(t, into, "var/lib/dpkg/triggers/Unincorp") != "" {
		t.Error("triggers are left")
	}
}

func TestAFileOverwrittenInPlaceIsTakenOverUnderAllItsNames(t *testing.T) {
	t.Parallel()
	into, store := newTree(t)
	report, err := run(t, into, store, postinst("p", "printf 'PLAIN\\n' > /etc/plain\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := into.Lookup("etc/plain")
	b, _ := into.Lookup("etc/again")
	if a != b || read(t, into, "etc/plain") != "PLAIN\n" || a.UID != 1 || a.Mode != 0o640 {
		t.Errorf("etc/plain is %+v, etc/again %+v, changed %v", a, b, report.Changed)
	}
}
