// Package ubootenv reads and writes the environment of U-Boot on block devices
// and in files (U-Boot include/env_internal.h and tools/env/README): variables
// that the boot loader and the running system leave each other.
//
// An environment is a CRC-32 of what follows the header, little-endian; for a
// redundant one a byte that counts the writes; and NAME=VALUE with a NUL behind
// each, and one more at the end. A redundant environment is two copies, of which the
// one that was written last is in force; a write goes to the other, so that a cut
// leaves one that is whole.
//
// An environment without a second copy is only read: a write that is torn
// would leave U-Boot with its built-in variables, which know of no slot.
package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// Lengths of the headers in bytes: the CRC, and for a redundant environment the count.
const (
	headerSingle    = 4
	headerRedundant = 5
)

var (
	// ErrDamaged is wrapped by the error of an environment no copy of which is whole.
	ErrDamaged = errors.New("no whole U-Boot environment")
	// ErrNotRedundant is wrapped by the error of a write to one without a second copy.
	ErrNotRedundant = errors.New("the U-Boot environment has no second copy")
	// ErrFull is wrapped by the error of a variable that there is no room for.
	ErrFull = errors.New("no room in the U-Boot environment")
)

// Environment is the variables of an environment.
type Environment struct {
	variables []variable
	room      int // bytes for variables, with their NULs and the last one
}

type variable struct{ name, value string }

// parse reads what follows the header. Where a name is there twice, the last
// one counts, as it does for U-Boot.
func parse(body []byte) (*Environment, error) {
	e := &Environment{room: len(body)}
	if body[0] == 0 {
		return e, nil
	}
	text, _, ok := bytes.Cut(body, []byte{0, 0})
	if !ok {
		return nil, fmt.Errorf("%w: its variables do not end with two NULs", ErrDamaged)
	}
	at := map[string]int{}
	for _, line := range strings.Split(string(text), "\x00") {
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: variable %.60q: want NAME=VALUE", ErrDamaged, line)
		}
		if i, twice := at[name]; twice {
			e.variables[i].value = value
			continue
		}
		at[name] = len(e.variables)
		e.variables = append(e.variables, variable{name, value})
	}
	return e, nil
}

// Get is the value of a variable, or "" where there is none: U-Boot knows no
// empty variables.
func (e *Environment) Get(name string) string {
	for _, v := range e.variables {
		if v.name == name {
			return v.value
		}
	}
	return ""
}

// Names are the variables in the order of the environment.
func (e *Environment) Names() []string {
	names := make([]string, len(e.variables))
	for i, v := range e.variables {
		names[i] = v.name
	}
	return names
}

// Set gives a variable a value where it stands, or appends it; an empty value
// removes it. Without room it changes nothing and returns an ErrFull.
func (e *Environment) Set(name, value string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
		return fmt.Errorf("variable %.60q with the value %.60q: want a name without \"=\", and no NUL", name, value)
	}
	next := slices.Clone(e.variables)
	at := slices.IndexFunc(next, func(v variable) bool { return v.name == name })
	switch {
	case at >= 0 && value == "":
		next = slices.Delete(next, at, at+1)
	case at >= 0:
		next[at].value = value
	case value != "":
		next = append(next, variable{name, value})
	}
	if used := len(encode(next)); used > e.room {
		return fmt.Errorf("%w: with %.60s it would have %d bytes: want at most %d", ErrFull, name, used, e.room)
	}
	e.variables = next
	return nil
}

// encode is the variables with their NULs. An empty environment is two NULs as well.
func encode(variables []variable) []byte {
	var body []byte
	for _, v := range variables {
		body = append(append(append(append(body, v.name...), '='), v.value...), 0)
	}
	if body == nil {
		body = []byte{0}
	}
	return append(body, 0)
}

// image is the environment as a redundant copy of size bytes holds it.
func (e *Environment) image(count byte, size int64) []byte {
	raw := make([]byte, size)
	raw[headerSingle] = count
	copy(raw[headerRedundant:], encode(e.variables))
	binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[headerRedundant:]))
	return raw
}
