package bootcontrol

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

var _ Control = (*GRUB)(nil)

// editenv runs GRUB's own tool on a machine's environment block.
func editenv(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("grub-editenv", append([]string{filepath.Join(dir, "esp/grub/grubenv")}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("grub-editenv %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func newGRUB(t testing.TB) (*GRUB, string) {
	t.Helper()
	dir := newMachine(t, backend{install: installGRUB})
	return &GRUB{FS: &powercut.Recorder{Dir: dir}, Boot: filepath.Join(dir, "esp")}, dir
}

func TestGRUBScriptIsValid(t *testing.T) {
	out, err := exec.Command("grub-script-check", "grub.cfg").CombinedOutput()
	if err != nil {
		t.Errorf("grub-script-check: %v\n%s", err, out)
	}
}

// grubInBash lets bash run the script: the two agree on all that it uses, once
// GRUB's commands are functions. The block is read and written by GRUB's own tool.
// Kernel images in $broken do not load; "boot" ends the script.
const grubInBash = `
prefix="$1/esp/grub"
function set { printf -v "${1%%=*}" %s "${1#*=}"; }
function load_env { for name; do set "$(grub-editenv "$prefix/grubenv" list | grep "^$name=")"; done; }
function save_env { test -z "$readonly" && for name; do grub-editenv "$prefix/grubenv" set "$name=${!name}" || return 1; done; }
function chainloader { loaded="$1"; test -e "$prefix/..$1" && [[ "$broken" != *"$1"* ]]; }
function boot { builtin echo "started $loaded"; exit; }
function sleep { :; }
function reboot { builtin echo reset; exit; }
function echo { :; }
`

// runGRUBScript is what the script came to on a machine: a path or "reset".
func runGRUBScript(t testing.TB, dir string, env ...string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", grubInBash+GRUBScript(), "bash", dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "started /EFI/Linux/")
}

func TestGRUBScriptDecidesAsTheSuiteDoes(t *testing.T) {
	t.Parallel()
	for _, committed := range []string{"a", "b"} {
		for _, once := range []string{"0", "a", "b", "x"} {
			for _, booted := range []string{"0", "a", "b"} {
				_, dir := newGRUB(t)
				editenv(t, dir, "set", "proa_default="+committed, "proa_once="+once, "proa_booted="+booted)
				before := editenv(t, dir, "list")
				got := runGRUBScript(t, dir)
				after := editenv(t, dir, "list")
				editenv(t, dir, "set", "proa_once="+once, "proa_booted="+booted)
				want, err := bootGRUB(dir)
				check(t, err)
				if got != "proa-"+want.slot+".efi" {
					t.Errorf("%s, once %s: the script starts %s, the suite %s", committed, once, got, want)
				}
				if suite := editenv(t, dir, "list"); after != suite {
					t.Errorf("with\n%s\nthe script leaves\n%s\nthe suite\n%s", before, after, suite)
				}
			}
		}
	}
}

func TestGRUBScriptFallsBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env    []string // of the block
		broken string
		extra  string
		want   string
		left   string // once and booted
	}{
		"trial that does not load":       {[]string{"proa_once=b"}, "proa-b.efi", "", "proa-a.efi", "0a"},
		"trial that is not there":        {[]string{"proa_once=b"}, "gone", "", "proa-a.efi", "0a"},
		"trial that cannot be ended":     {[]string{"proa_once=b"}, "", "readonly=1", "proa-a.efi", "ba"},
		"committed slot that is broken":  {nil, "proa-a.efi", "", "proa-b.efi", "0b"},
		"everything is broken":           {[]string{"proa_once=b"}, "proa-a.efi proa-b.efi", "", "reset", "0b"},
		"a block without our variables":  {[]string{"proa_default=", "proa_once="}, "", "", "proa-a.efi", "a"},
		"a read-only block and no trial": {nil, "", "readonly=1", "proa-a.efi", "0a"},
	} {
		_, dir := newGRUB(t)
		if test.env != nil {
			editenv(t, dir, append([]string{"set"}, test.env...)...)
		}
		if test.broken == "gone" {
			check(t, os.Remove(filepath.Join(dir, "esp/EFI/Linux/proa-b.efi")))
		}
		if got := runGRUBScript(t, dir, "broken=/EFI/Linux/"+strings.ReplaceAll(test.broken, " ", " /EFI/Linux/"), test.extra); got != test.want {
			t.Errorf("%s: %q starts: want %q", name, got, test.want)
		}
		left := ""
		for _, line := range strings.Split(editenv(t, dir, "list"), "\n") {
			for _, variable := range []string{"proa_once=", "proa_booted="} {
				if value, ok := strings.CutPrefix(line, variable); ok {
					left += value
				}
			}
		}
		if left != test.left {
			t.Errorf("%s: left %q: want %q", name, left, test.left)
		}
	}
}

func TestGRUBKeepsTheVariablesOfOthers(t *testing.T) {
	g, dir := newGRUB(t)
	before := editenv(t, dir, "list")
	check(t, g.Arm(partitions.SlotB))
	check(t, g.Commit(partitions.SlotB))
	want := strings.Replace(before, "proa_default=a", "proa_default=b", 1)
	if got := editenv(t, dir, "list"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestGRUBBlockThatIsNotSetUpIsNamedAndNothingIsDone(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no variable":     {[]string{"unset", "proa_once"}, "variable proa_once"},
		"longer value":    {[]string{"set", "saved_entry=", "proa_booted=none"}, "variable proa_booted"},
		"no slot":         {[]string{"set", "proa_default=c"}, "variable proa_default"},
		"second sector":   {[]string{"unset", "proa_once", "proa_booted", "saved_entry"}, "within the first 512 bytes"},
		"not a block":     {nil, "not a GRUB environment block"},
		"no longer there": {nil, "no such file"},
	} {
		g, dir := newGRUB(t)
		switch file := filepath.Join(dir, "esp/grub/grubenv"); name {
		case "not a block":
			check(t, os.WriteFile(file, make([]byte, 1024), 0o600))
		case "no longer there":
			check(t, os.Remove(file))
		default:
			editenv(t, dir, test.args...)
		}
		if name == "second sector" {
			editenv(t, dir, "set", "filler="+strings.Repeat("x", 400), "proa_once=0", "proa_booted=0")
		}
		_, stateErr := g.State()
		for step, err := range map[string]error{
			"state": stateErr, "arm": g.Arm(partitions.SlotB), "commit": g.Commit(partitions.SlotB),
			"disarm": g.Disarm(partitions.SlotB), "rollback": g.Rollback(),
		} {
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "boot partition") {
				t.Errorf("%s: %s: %v: want an error with %q", name, step, err, test.want)
			}
		}
		if ops := g.FS.(*powercut.Recorder).Ops(); len(ops) > 0 {
			t.Errorf("%s: did %v", name, ops)
		}
	}
}
