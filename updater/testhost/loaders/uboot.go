package loaders

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// UBootCopies are the places of the environment in fw_env.config, as the tool
// of U-Boot reads it.
func (m Machine) UBootCopies() (paths []string, offsets []int64, size int64, err error) {
	config, err := os.ReadFile(m.Config)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(config)), "\n") {
		var path string
		var offset int64
		if _, err := fmt.Sscanf(line, "%s %v 0x%x", &path, &offset, &size); err != nil {
			return nil, nil, 0, fmt.Errorf("%q: %w", line, err)
		}
		// The machine may be a copy of the one that the file was written for.
		paths, offsets = append(paths, filepath.Join(filepath.Dir(m.Config), filepath.Base(path))), append(offsets, offset)
	}
	return paths, offsets, size, nil
}

// ubootEnv is U-Boot's environment in memory, and where it goes next.
type ubootEnv struct {
	values map[string]string
	path   string
	offset int64
	size   int64
	count  byte
}

// loadUBootEnv is U-Boot at its start: of two copies the one with the higher
// count, as a byte that wraps, if its CRC is right.
func loadUBootEnv(m Machine) (*ubootEnv, error) {
	paths, offsets, size, err := m.UBootCopies()
	if err != nil {
		return nil, err
	}
	var found [2][]byte
	for i, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		raw = raw[offsets[i]:][:size]
		if crc32.ChecksumIEEE(raw[5:]) == binary.LittleEndian.Uint32(raw) {
			found[i] = raw
		}
	}
	active := 0
	switch {
	case found[0] == nil && found[1] == nil:
		return nil, errors.New("U-Boot falls back to its built-in environment")
	case found[0] == nil:
		active = 1
	case found[1] != nil && int8(found[1][4]-found[0][4]) > 0:
		active = 1
	}
	env := &ubootEnv{values: map[string]string{}, path: paths[1-active], offset: offsets[1-active], size: size, count: found[active][4]}
	for _, entry := range bytes.Split(found[active][5:], []byte{0}) {
		if len(entry) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(entry), "=")
		env.values[name] = value
	}
	return env, nil
}

// save is saveenv.
func (e *ubootEnv) save() error {
	var names []string
	for name, value := range e.values {
		if value != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	raw := make([]byte, e.size)
	at := 5
	for _, name := range names {
		at += copy(raw[at:], name+"="+e.values[name]+"\x00")
	}
	raw[4] = e.count + 1
	binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[5:]))
	f, err := os.OpenFile(e.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(raw, e.offset)
	return err
}

// UBoot is U-Boot with its count of boots in the environment
// (CONFIG_BOOTCOUNT_ENV), and then what uboot.cmd says (see
// its test in package bootcontrol).
func UBoot(m Machine) (Started, error) {
	env, err := loadUBootEnv(m)
	if err != nil {
		return Started{}, err
	}
	if env.values["upgrade_available"] == "1" {
		count, _ := strconv.Atoi(env.values["bootcount"])
		env.values["bootcount"] = strconv.Itoa(count + 1)
		if err := env.save(); err != nil {
			return Started{}, err
		}
		if env, err = loadUBootEnv(m); err != nil {
			return Started{}, err
		}
		if limit, _ := strconv.Atoi(env.values["bootlimit"]); limit > 0 && count+1 > limit {
			if env.values["altbootcmd"] != "setenv proa_once; run bootcmd" {
				return Started{}, errors.New("U-Boot stops at its prompt")
			}
			env.values["proa_once"] = ""
		}
	}
	committed, once := env.values["proa_slot"], env.values["proa_once"]
	if committed != "a" && committed != "b" {
		return Started{}, fmt.Errorf("proa_slot is %q", committed)
	}
	s := Started{committed, false}
	if once == "a" || once == "b" {
		s = Started{once, true}
		env.values["proa_once"] = ""
		if env.values["bootlimit"] != "" {
			env.values["upgrade_available"] = "0"
		}
	}
	if s.Trial || env.values["proa_booted"] != s.Slot {
		env.values["proa_booted"] = s.Slot
		if err := env.save(); err != nil {
			return Started{}, err
		}
	}
	return s, nil
}
