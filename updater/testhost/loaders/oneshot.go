package loaders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

const loaderVariables = "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// WriteVariable stores a variable of systemd-boot.
func (m Machine) WriteVariable(name, text string) error {
	raw := []byte{7, 0, 0, 0}
	for _, unit := range utf16.Encode([]rune(text + "\x00")) {
		raw = append(raw, byte(unit), byte(unit>>8))
	}
	return os.WriteFile(m.variable(name), raw, 0o600)
}

// ReadVariable is the text of a variable of systemd-boot, or "".
func (m Machine) ReadVariable(name string) (string, error) {
	raw, err := os.ReadFile(m.variable(name))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	var units []uint16
	for i := 4; i+1 < len(raw); i += 2 {
		units = append(units, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00"), err
}

func (m Machine) variable(name string) string { return filepath.Join(m.Vars, name+loaderVariables) }

// OneShot is systemd-boot 252: the one-shot variable, which it removes, then the
// variable for the default, then loader.conf, each only if there is such an
// entry. It fails where the loader would go by version numbers.
func OneShot(m Machine) (Started, error) {
	once, err := m.ReadVariable("LoaderEntryOneShot")
	if err != nil {
		return Started{}, err
	}
	if err := os.Remove(m.variable("LoaderEntryOneShot")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Started{}, err
	}
	wanted := []string{once}
	preferred, err := m.ReadVariable("LoaderEntryDefault")
	if err != nil {
		return Started{}, err
	}
	wanted = append(wanted, preferred)
	conf, err := os.ReadFile(filepath.Join(m.Boot, "loader/loader.conf"))
	if err != nil {
		return Started{}, err
	}
	for line := range strings.Lines(string(conf)) {
		if rest, ok := strings.CutPrefix(line, "default "); ok {
			wanted = append(wanted, strings.TrimSpace(rest))
		}
	}
	for _, name := range wanted {
		slot, ok := strings.CutPrefix(strings.TrimSuffix(name, ".efi"), "proa-")
		if !ok || len(slot) != 1 {
			continue
		}
		s := Started{slot, name == once}
		if _, err := os.Stat(m.Kernel(s)); err == nil {
			return s, m.WriteVariable("LoaderEntrySelected", name)
		}
	}
	return Started{}, fmt.Errorf("there is none of the entries %q: the loader would take the highest version", wanted)
}
