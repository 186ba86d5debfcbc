package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/proa-os/proa/updater/hostfs"
)

// Store is an environment on a host.
type Store struct {
	FS     hostfs.FS
	Places Config
}

// side is a copy as it was found.
type side struct {
	err   error // why it is not whole
	count byte
	body  []byte
}

// Read reads the environment that is in force.
func (s Store) Read() (*Environment, error) {
	sides, active, err := s.look()
	if err != nil {
		return nil, err
	}
	e, err := parse(sides[active].body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Places[active].Path, err)
	}
	return e, nil
}

// Write puts the environment into the copy that is not in force, syncs it, and
// reads it back from the medium; with that it is in force. One that is there already is
// written all the same: it may be in the cache alone, where a killed process left it.
func (s Store) Write(e *Environment) error {
	if len(s.Places) != 2 {
		return fmt.Errorf("%w: a write that is cut would lose all of it", ErrNotRedundant)
	}
	sides, active, err := s.look()
	if err != nil {
		return err
	}
	to := s.Places[1-active]
	if err := s.write(to, e.image(sides[active].count+1, to.Size)); err != nil {
		return fmt.Errorf("U-Boot environment in %s: %w", to.Path, err)
	}
	return nil
}

func (s Store) write(to Location, raw []byte) error {
	f, err := s.FS.OpenWritable(to.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	at, err := to.place(f)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(raw, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Drop(at, to.Size); err != nil {
		return err
	}
	back, err := s.read(to)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, raw) {
		return errors.New("the medium did not keep what was written")
	}
	return nil
}

// look reads all copies, and says which one is in force.
func (s Store) look() (sides []side, active int, err error) {
	if err := s.apart(); err != nil {
		return nil, 0, err
	}
	header := headerSingle
	if len(s.Places) == 2 {
		header = headerRedundant
	}
	sides = make([]side, len(s.Places))
	for i, place := range s.Places {
		// A copy that cannot be read may be the one in force, so nothing is said then.
		raw, err := s.read(place)
		if err != nil {
			return nil, 0, fmt.Errorf("U-Boot environment: %w", err)
		}
		if binary.LittleEndian.Uint32(raw) != crc32.ChecksumIEEE(raw[header:]) {
			sides[i].err = fmt.Errorf("%s at %#x has another CRC", place.Path, place.Offset)
			continue
		}
		sides[i].body = raw[header:]
		if header == headerRedundant {
			sides[i].count = raw[headerSingle]
		}
	}
	return choose(sides)
}

// choose is U-Boot's own rule (env_check_redund in env/common.c).
func choose(sides []side) ([]side, int, error) {
	switch {
	case len(sides) == 1 && sides[0].err == nil:
		return sides, 0, nil
	case len(sides) == 1:
		return nil, 0, fmt.Errorf("%w: %w", ErrDamaged, sides[0].err)
	case sides[0].err != nil && sides[1].err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(sides[0].err, sides[1].err))
	case sides[0].err != nil:
		return sides, 1, nil
	case sides[1].err != nil:
		return sides, 0, nil
	}
	a, b := sides[0].count, sides[1].count
	if a == 255 && b == 0 || b > a && !(b == 255 && a == 0) {
		return sides, 1, nil
	}
	return sides, 0, nil
}

// apart refuses copies that turn out to overlap, since their places count from different ends.
func (s Store) apart() error {
	if len(s.Places) != 2 || s.Places[0].Path != s.Places[1].Path {
		return nil
	}
	f, err := s.FS.Open(s.Places[0].Path)
	if err != nil {
		return fmt.Errorf("U-Boot environment: %w", err)
	}
	defer f.Close()
	fixed := Config{s.Places[0], s.Places[1]}
	for i := range fixed {
		if fixed[i].Offset, err = fixed[i].place(f); err != nil {
			return err
		}
	}
	return fixed.checkPair()
}

// place is where the location begins in its file.
func (l Location) place(f hostfs.File) (int64, error) {
	length, err := f.Size()
	if err != nil {
		return 0, err
	}
	at := l.Offset
	if at < 0 {
		at += length
	}
	if at < 0 || l.Size > length || at > length-l.Size {
		return 0, fmt.Errorf("%s has %d bytes: want %d at %d", l.Path, length, l.Size, l.Offset)
	}
	return at, nil
}

func (s Store) read(l Location) ([]byte, error) {
	f, err := s.FS.Open(l.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, err := l.place(f)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, l.Size)
	if _, err := f.ReadAt(raw, at); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading %s: %w", l.Path, err)
	}
	return raw, nil
}
