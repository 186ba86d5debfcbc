package loaders

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// GRUB is GRUB with what grub.cfg says, which a test of package bootcontrol holds
// against GRUB's own interpreter.
// GRUB's words for the block: the first line is a signature, "#" begins a
// comment, a backslash quotes what follows it.
func GRUB(m Machine) (Started, error) {
	file := filepath.Join(m.Boot, "grub/grubenv")
	raw, err := os.ReadFile(file)
	if err != nil {
		return Started{}, err
	}
	if len(raw) != 1024 || !bytes.HasPrefix(raw, []byte("# GRUB Environment Block\n")) {
		return Started{}, errors.New("no environment block")
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
		return Started{}, fmt.Errorf("proa_default is %q", committed)
	}
	s := Started{committed, false}
	if once == "a" || once == "b" {
		s = Started{once, true}
		raw[places["proa_once"]] = '0'
	}
	if len(values["proa_booted"]) != 1 || len(once) != 1 {
		return Started{}, fmt.Errorf("proa_booted is %q, proa_once is %q: GRUB would move the rest of the block", values["proa_booted"], once)
	}
	raw[places["proa_booted"]] = s.Slot[0]
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return Started{}, err
	}
	return s, nil
}
