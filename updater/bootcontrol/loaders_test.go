package bootcontrol

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// The loaders as their documentation has them, for the crash suite. They know
// nothing of the backends' code.

// start boots a slot, if it has a whole kernel image.
func start(dir string, s started) (started, error) {
	if err := wholeKernel(dir, s.slot); err != nil {
		return started{}, fmt.Errorf("starting %s: %w", s, err)
	}
	return s, nil
}

const loaderVariables = "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

func writeVariable(dir, name, text string) error {
	raw := []byte{7, 0, 0, 0}
	for _, unit := range utf16.Encode([]rune(text + "\x00")) {
		raw = append(raw, byte(unit), byte(unit>>8))
	}
	return os.WriteFile(filepath.Join(dir, "vars", name+loaderVariables), raw, 0o600)
}

func readVariable(dir, name string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "vars", name+loaderVariables))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var units []uint16
	for i := 4; i+1 < len(raw); i += 2 {
		units = append(units, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00"), err
}

// bootOneShot is systemd-boot: the one-shot variable, which it removes, then
// the variable for the default, then loader.conf.
func bootOneShot(dir string) (started, error) {
	once, err := readVariable(dir, "LoaderEntryOneShot")
	if err != nil {
		return started{}, err
	}
	if err := os.Remove(filepath.Join(dir, "vars/LoaderEntryOneShot"+loaderVariables)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return started{}, err
	}
	entry, err := readVariable(dir, "LoaderEntryDefault")
	if err != nil {
		return started{}, err
	}
	if entry == "" {
		conf, err := os.ReadFile(filepath.Join(dir, "esp/loader/loader.conf"))
		if err != nil {
			return started{}, err
		}
		for _, line := range strings.Split(string(conf), "\n") {
			if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "default" {
				entry = fields[1]
			}
		}
	}
	if once != "" {
		entry = once
	}
	slot, ok := strings.CutPrefix(strings.TrimSuffix(entry, ".efi"), "proa-")
	if !ok {
		return started{}, fmt.Errorf("no entry is the default: %q", entry)
	}
	if err := writeVariable(dir, "LoaderEntrySelected", entry); err != nil {
		return started{}, err
	}
	return start(dir, started{slot, once != ""})
}

// panics is a test whose Fatal is a panic.
type panics struct{ testing.TB }

func (panics) Helper()           {}
func (panics) Fatal(args ...any) { panic(fmt.Errorf("%s", fmt.Sprint(args...))) }
func (panics) Fatalf(format string, args ...any) {
	panic(fmt.Errorf(format, args...))
}

// bootCounted is systemd-boot without variables (see sdboot).
func bootCounted(dir string) (s started, err error) {
	defer func() {
		if failed, ok := recover().(error); ok {
			err = failed
		}
	}()
	conf, err := os.ReadFile(filepath.Join(dir, "esp/loader/loader.conf"))
	if err != nil {
		return started{}, err
	}
	committed := strings.TrimPrefix(string(conf), "default *-")[:1]
	// The loader passes over a trial without a kernel image; but there should be none.
	trials, err := filepath.Glob(filepath.Join(dir, "esp/loader/entries/t-"+committed+"+[1-9]*"))
	if err != nil {
		return started{}, err
	}
	other := map[string]string{"a": "b", "b": "a"}[committed]
	if len(trials) > 0 && wholeKernel(dir, other) != nil {
		return started{}, fmt.Errorf("%s would try slot %s: %w", trials, other, wholeKernel(dir, other))
	}
	kernel := sdboot{dir: filepath.Join(dir, "esp")}.boot(panics{})
	slot := strings.TrimSuffix(strings.TrimPrefix(kernel, "proa-"), ".efi")
	if err := os.WriteFile(filepath.Join(dir, "running"), []byte(slot), 0o600); err != nil {
		return started{}, err
	}
	return start(dir, started{slot, slot != committed})
}

// bootGRUB is what grub.cfg says (see TestGRUBScriptDecidesAsTheSuiteDoes).
// GRUB's words for the block: the first line is a signature, "#" begins a
// comment, a backslash quotes what follows it.
func bootGRUB(dir string) (started, error) {
	file := filepath.Join(dir, "esp/grub/grubenv")
	raw, err := os.ReadFile(file)
	if err != nil {
		return started{}, err
	}
	if len(raw) != 1024 || !bytes.HasPrefix(raw, []byte("# GRUB Environment Block\n")) {
		return started{}, errors.New("no environment block")
	}
	values, places := map[string]string{}, map[string]int{}
	for at, text := 0, string(raw); strings.Contains(text[at:], "\n"); {
		end := at
		for ; text[end] != '\n'; end++ {
			if text[end] == '\\' {
				end++
			}
		}
		if name, value, ok := strings.Cut(text[at:end], "="); ok && text[at] != '#' {
			values[name], places[name] = value, at+len(name)+1
		}
		at = end + 1
	}
	committed, once := values["proa_default"], values["proa_once"]
	if committed != "a" && committed != "b" {
		return started{}, fmt.Errorf("proa_default is %q", committed)
	}
	s := started{committed, false}
	if once == "a" || once == "b" {
		s = started{once, true}
		raw[places["proa_once"]] = '0'
	}
	if len(values["proa_booted"]) != 1 || len(once) != 1 {
		return started{}, fmt.Errorf("proa_booted is %q, proa_once is %q: GRUB would move the rest of the block", values["proa_booted"], once)
	}
	raw[places["proa_booted"]] = s.slot[0]
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return started{}, err
	}
	return start(dir, s)
}
