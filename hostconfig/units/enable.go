package units

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/proa-os/proa/hostconfig/stage"
)

const mostAlso = 64

// Enable makes the links that the unit's [Install] section asks for, also those
// of the units that go with it.
func Enable(s *stage.Stage, n Name) error {
	done := map[Name]bool{}
	for pending := []Name{n}; len(pending) > 0; pending = pending[1:] {
		next := pending[0]
		if done[next] || len(done) > mostAlso {
			continue
		}
		done[next] = true
		u, err := read(s, next)
		if err != nil && next != n {
			continue // of what goes with a unit, what is not there is passed over
		}
		if err == nil {
			err = enable(s, u, next == n)
		}
		if err != nil {
			return fmt.Errorf("enabling %s: %w", next, err)
		}
		for _, also := range u.also {
			if also, err := expand(also, next); err == nil {
				pending = append(pending, Name(also))
			}
		}
	}
	return nil
}

func enable(s *stage.Stage, u unit, asked bool) error {
	n := u.name
	links := 0
	for _, by := range u.by {
		links += len(by)
	}
	if asked && links+len(u.alias)+len(u.also) == 0 {
		return errors.New("its file has no [Install] section that says where it belongs")
	}
	if n.isTemplate() && links > 0 {
		if u.defaultInstance == "" {
			return errors.New("it is a template without a default instance: name one")
		}
		n = n.of(u.defaultInstance)
	}
	for kind, by := range u.by {
		for _, other := range by {
			other, err := expand(other, n)
			if err != nil {
				return err
			}
			if err := link(s, path.Join(Config, other+"."+kind, string(n)), u.file); err != nil {
				return err
			}
		}
	}
	for _, alias := range u.alias {
		alias, err := expand(alias, n)
		if err != nil {
			return err
		}
		if alias != string(n) {
			if err := link(s, path.Join(Config, alias), u.file); err != nil {
				return err
			}
		}
	}
	return nil
}

func link(s *stage.Stage, at, target string) error {
	old, err := s.Look(at)
	switch {
	case err == nil && old.Kind == stage.Symlink && path.Base(old.Target) == path.Base(target):
		return nil
	case err == nil && old.Kind == stage.Symlink:
		return fmt.Errorf("%s leads to %s already", at, old.Target)
	case err == nil:
		return fmt.Errorf("%s is a %s already", at, old.Kind)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	_, err = s.Put(stage.Entry{Path: at, Kind: stage.Symlink, Mode: 0o777, Target: target})
	return err
}

// Disable takes away the links in /etc/systemd/system to a unit and to those
// that go with it, but for what masks them. What a release has enabled in /usr
// stays: that takes Mask.
func Disable(s *stage.Stage, n Name) error {
	names := map[Name]bool{}
	for pending := []Name{n}; len(pending) > 0 && len(names) < mostAlso; pending = pending[1:] {
		next := pending[0]
		if names[next] {
			continue
		}
		names[next] = true
		u, err := read(s, next)
		if err != nil {
			if next == n && !errors.Is(err, errMasked) {
				return fmt.Errorf("disabling %s: %w", n, err)
			}
			continue
		}
		names[u.name] = true
		for _, also := range u.also {
			if also, err := expand(also, next); err == nil {
				pending = append(pending, Name(also))
			}
		}
	}
	return removeLinks(s, Config, n, names, true)
}

func removeLinks(s *stage.Stage, folder string, asked Name, names map[Name]bool, deeper bool) error {
	entries, err := s.List(folder)
	if err != nil {
		return err
	}
	for _, name := range entries {
		at := path.Join(folder, name)
		e, err := s.Look(at)
		if err != nil {
			return err
		}
		if e.Kind == stage.Folder && deeper && isDependencies(name) {
			if err := removeLinks(s, at, asked, names, false); err != nil {
				return err
			}
			if left, err := s.List(at); err != nil || len(left) > 0 {
				continue
			}
			if err := s.Remove(at); err != nil {
				return err
			}
			continue
		}
		if e.Kind != stage.Symlink || e.Target == "/dev/null" {
			continue
		}
		base, to := Name(name), Name(path.Base(e.Target))
		// A link of another instance leads to the same template.
		if names[base] || names[to] && (base == to || !to.isTemplate() || asked == to) {
			if err := s.Remove(at); err != nil {
				return err
			}
		}
	}
	return nil
}

func isDependencies(folder string) bool {
	switch path.Ext(folder) {
	case ".wants", ".requires", ".upholds":
		return true
	}
	return false
}

// Mask keeps a unit from ever starting.
func Mask(s *stage.Stage, n Name) error {
	at := path.Join(Config, string(n))
	e, err := s.Look(at)
	switch {
	case err == nil && e.Kind == stage.Symlink && e.Target == "/dev/null":
		return nil
	case err == nil && e.Kind != stage.Symlink:
		return fmt.Errorf("masking %s: %s is a %s: the link would take its place", n, at, e.Kind)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	_, err = s.Put(stage.Entry{Path: at, Kind: stage.Symlink, Mode: 0o777, Target: "/dev/null"})
	return err
}

// Unmask takes away what masks a unit, if anything in /etc does.
func Unmask(s *stage.Stage, n Name) error {
	at := path.Join(Config, string(n))
	e, err := s.Look(at)
	if err != nil || e.Kind != stage.Symlink || e.Target != "/dev/null" {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	return s.Remove(at)
}

// Write makes a unit's file, or a drop-in of one if name has a slash:
// "ssh.service.d/50-port.conf".
func Write(s *stage.Stage, name, contents string) error {
	if !strings.HasSuffix(contents, "\n") {
		contents += "\n"
	}
	_, err := s.Put(stage.Entry{Path: path.Join(Config, name), Kind: stage.File, Mode: 0o644, Content: []byte(contents)})
	return err
}
