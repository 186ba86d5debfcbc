package bootcontrol

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

var _ Control = (*UBoot)(nil)

// ubootTool runs U-Boot's own tools on a machine's environment.
func ubootTool(t testing.TB, dir, tool string, args ...string) string {
	t.Helper()
	args = slices.DeleteFunc(args, func(arg string) bool { return arg == "" }) // no value is how a variable is removed
	out, err := exec.Command(tool, append([]string{"-c", filepath.Join(dir, "fw_env.config")}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func newUBoot(t testing.TB) (*UBoot, string) {
	t.Helper()
	dir := newMachine(t, backend{install: installUBoot})
	u, err := OpenUBoot(&powercut.Recorder{Dir: dir}, filepath.Join(dir, "esp"), filepath.Join(dir, "fw_env.config"))
	check(t, err)
	return u, dir
}

// ubootInShell lets a shell run the script: the two agree on all that it uses,
// once U-Boot's commands are functions. The environment is read and written by
// U-Boot's own tools. Kernel images in $broken do not load; "bootefi" ends the script.
const ubootInShell = `
config="$1/fw_env.config"
esp="$1/esp"
kernel_addr_r=0x1000000
for name in proa_slot proa_once proa_booted bootlimit bootcount upgrade_available; do
	eval "$name=\$(fw_printenv -n -c $config $name 2>&-)"
done
setenv() { eval "$1=\"$2\""; }
saveenv() {
	test -z "$readonly" || return 1
	for name in proa_once proa_booted upgrade_available; do
		eval "fw_setenv -c $config $name \$$name"
	done
}
load() { loaded=$4; test "$1 $2 $3" = "mmc 0:1 0x1000000" && test -e "$esp/$4" && case "$broken" in *"${4##*/}"*) return 1;; esac; }
bootefi() { test "$1" = 0x1000000 && command echo "started $loaded"; exit; }
sleep() { :; }
reset() { command echo reset; exit; }
echo() { :; }
`

// runUBootScript is what the script came to on a machine: a path or "reset".
func runUBootScript(t testing.TB, dir string, env ...string) string {
	t.Helper()
	cmd := exec.Command("dash", "-c", ubootInShell+UBootScript(), "dash", dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "started EFI/Linux/")
}

func TestUBootScriptBecomesABootScript(t *testing.T) {
	out := filepath.Join(t.TempDir(), "boot.scr")
	text, err := exec.Command("mkimage", "-T", "script", "-C", "none", "-A", "arm64", "-d", "uboot.cmd", out).CombinedOutput()
	if err != nil {
		t.Fatalf("mkimage: %v\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	check(t, err)
	if !bytes.Contains(raw, []byte(UBootScript())) {
		t.Error("the boot script is another")
	}
}

func TestUBootScriptDecidesAsTheSuiteDoes(t *testing.T) {
	t.Parallel()
	for _, slot := range []string{"a", "b"} {
		for _, once := range []string{"", "a", "b", "x"} {
			for _, booted := range []string{"", "a", "b"} {
				_, dir := newUBoot(t)
				set := func() {
					ubootTool(t, dir, "fw_setenv", "proa_slot", slot)
					ubootTool(t, dir, "fw_setenv", "proa_once", once)
					ubootTool(t, dir, "fw_setenv", "proa_booted", booted)
				}
				set()
				before := ubootTool(t, dir, "fw_printenv")
				got := runUBootScript(t, dir)
				after := ubootTool(t, dir, "fw_printenv")
				set()
				want, err := bootUBoot(dir)
				check(t, err)
				if got != "proa-"+want.slot+".efi" {
					t.Errorf("%s, once %s: the script starts %s, the suite %s", slot, once, got, want)
				}
				if suite := ubootTool(t, dir, "fw_printenv"); after != suite {
					t.Errorf("with\n%s\nthe script leaves\n%s\nthe suite\n%s", before, after, suite)
				}
			}
		}
	}
}

func TestUBootScriptFallsBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		once, slot, broken, extra string
		want                      string
		left                      string // once and booted
	}{
		"trial that does not load":      {"b", "a", "proa-b.efi", "", "proa-a.efi", "/a"},
		"trial that is not there":       {"b", "a", "gone", "", "proa-a.efi", "/a"},
		"trial that cannot be ended":    {"b", "a", "", "readonly=1", "proa-a.efi", "b/a"},
		"committed slot that is broken": {"", "a", "proa-a.efi", "", "proa-b.efi", "/b"},
		"everything is broken":          {"b", "a", "proa-a.efi proa-b.efi", "", "reset", "/b"},
		"nothing is said":               {"", "", "", "", "proa-a.efi", "/a"},
	} {
		_, dir := newUBoot(t)
		ubootTool(t, dir, "fw_setenv", "proa_slot", test.slot)
		ubootTool(t, dir, "fw_setenv", "proa_once", test.once)
		if test.broken == "gone" {
			check(t, os.Remove(filepath.Join(dir, "esp/EFI/Linux/proa-b.efi")))
		}
		if got := runUBootScript(t, dir, "broken="+test.broken, test.extra); got != test.want {
			t.Errorf("%s: %q starts: want %q", name, got, test.want)
		}
		values := map[string]string{}
		for _, line := range strings.Split(ubootTool(t, dir, "fw_printenv"), "\n") {
			key, value, _ := strings.Cut(line, "=")
			values[key] = value
		}
		if left := values["proa_once"] + "/" + values["proa_booted"]; left != test.left {
			t.Errorf("%s: left %q: want %q", name, left, test.left)
		}
	}
}

func TestUBootKeepsTheVariablesOfOthersAndItsOwnCounting(t *testing.T) {
	for name, test := range map[string]struct{ limit, armed, committed string }{
		"without a limit": {"", "", ""},
		"with a limit": {"1", "bootcount=0\nbootlimit=1\n|upgrade_available=1",
			"bootcount=0\nbootlimit=1\n|upgrade_available=0"},
	} {
		u, dir := newUBoot(t)
		ubootTool(t, dir, "fw_setenv", "ethaddr", "02:00:00:00:00:01")
		ubootTool(t, dir, "fw_setenv", "others", "") // too long to read
		ubootTool(t, dir, "fw_setenv", "bootlimit", test.limit)
		counts := func(want string) string {
			before, after, _ := strings.Cut(want, "|")
			if after != "" {
				after = "\n" + after
			}
			return "altbootcmd=setenv proa_once; run bootcmd\n" + before + "ethaddr=02:00:00:00:00:01\n%s" + after
		}
		check(t, u.Arm(partitions.SlotB))
		want := fmt.Sprintf(counts(test.armed), "proa_booted=a\nproa_once=b\nproa_slot=a")
		if got := ubootTool(t, dir, "fw_printenv"); got != want {
			t.Errorf("%s: armed\n%s\nwant\n%s", name, got, want)
		}
		check(t, u.Commit(partitions.SlotB))
		want = fmt.Sprintf(counts(test.committed), "proa_booted=a\nproa_slot=b")
		if got := ubootTool(t, dir, "fw_printenv"); got != want {
			t.Errorf("%s: committed\n%s\nwant\n%s", name, got, want)
		}
	}
}

// A saveenv that only seems to work is what U-Boot's own counting is for.
func TestUBootThatLosesItsWritesComesBackByItsLimit(t *testing.T) {
	u, dir := newUBoot(t)
	ubootTool(t, dir, "fw_setenv", "bootlimit", "1")
	check(t, u.Arm(partitions.SlotB))
	u2, err := u.env().Read()
	check(t, err)
	if u2.Get("upgrade_available") != "1" || u2.Get("bootcount") != "0" {
		t.Errorf("it does not count: %q", u2.Names())
	}
	// The second boot: the count, which a register has kept, is beyond the limit.
	ubootTool(t, dir, "fw_setenv", "bootcount", "2")
	s, err := bootUBoot(dir)
	check(t, err)
	if s != (started{"a", false}) {
		t.Errorf("%s", s)
	}
}

func TestUBootEnvironmentThatIsNotSetUpIsNamedAndNothingIsDone(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(dir string, u *UBoot)
		want  string
	}{
		"no committed slot": {func(dir string, _ *UBoot) { ubootTool(t, dir, "fw_setenv", "proa_slot", "") }, "variable proa_slot"},
		"no way back": {func(dir string, _ *UBoot) {
			ubootTool(t, dir, "fw_setenv", "bootlimit", "3")
			ubootTool(t, dir, "fw_setenv", "altbootcmd", "")
		}, "altbootcmd"},
		"one copy": {func(dir string, u *UBoot) {
			u.Env = u.Env[:1]
			raw, err := os.ReadFile(u.Env[0].Path)
			check(t, err)
			check(t, os.WriteFile(u.Env[0].Path, single(raw), 0o600))
		}, "no second copy"},
		"no copy": {func(_ string, u *UBoot) {
			for _, place := range u.Env {
				check(t, os.WriteFile(place.Path, make([]byte, place.Size), 0o600))
			}
		}, "no whole U-Boot environment"},
	} {
		u, dir := newUBoot(t)
		test.spoil(dir, u)
		for step, err := range map[string]error{
			"arm": u.Arm(partitions.SlotB), "commit": u.Commit(partitions.SlotB),
			"disarm": u.Disarm(partitions.SlotB), "rollback": u.Rollback(),
		} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s: %v: want an error with %q", name, step, err, test.want)
			}
		}
		if ops := u.FS.(*powercut.Recorder).Ops(); len(ops) > 0 {
			t.Errorf("%s: did %v", name, ops)
		}
	}
}
